"""Hostile verification functions of our own, and what each may come to.

``@NAME@`` in a source stands for something the test set up: a canary file, a folder to write to, listening ports, the
supervisor's process id. The expected set names every outcome that means "contained"; TRUE is in none of them.
"""
# ruff: noqa: E501 - a case on one line, however long, can be scanned

from __future__ import annotations

from case import CRASH, ERROR, FALSE, LOAD, MEMORY, NONE, OTHER, SYSCALL, TIMEOUT, Hostile, body, case
from hostile_sly import SLY

TIME = [
    body("loop", TIMEOUT, "while True: pass", True),
    body(
        "loop_swallowing_exceptions",
        TIMEOUT,
        """
        while True:
            try:
                x = 1
            except BaseException:
                pass
        """,
        True,
    ),
    body(
        "loop_then_true",
        TIMEOUT,
        """
        try:
            while True: pass
        except BaseException:
            return True
        return True
        """,
        True,
    ),
    body(
        "alarm_ignored",
        TIMEOUT,
        """
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True: pass
        """,
    ),
    body(
        "alarm_reset",
        TIMEOUT,
        """
        import signal
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        while True: pass
        """,
    ),
    body(
        "signals_blocked",
        TIMEOUT,
        """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True: pass
        """,
    ),
    body(
        "c_loop_deque",
        TIMEOUT,
        """
        from collections import deque
        from itertools import count
        deque(count(), maxlen=0)
        """,
        True,
    ),
    body("c_loop_sum", TIMEOUT, "return sum(range(10 ** 13)) > 0", True),
    body("regex_backtracking", TIMEOUT, "import re\nreturn bool(re.match(r'(a+)+$', 'a' * 40 + 'b'))", True),
    body("bigint_power", "timeout memory", "return len(bin(9 ** (9 ** 9))) > 0", True),
    body("bigint_to_text", "timeout error", "return str(7 ** 3000000) == response", True),
    body("sleep", TIMEOUT, "import time\ntime.sleep(3600)\nreturn True"),
    body("select_forever", TIMEOUT, "import select\nselect.select([], [], [])\nreturn True"),
    body("pause", TIMEOUT, "import signal\nsignal.pause()\nreturn True"),
    case("loop_at_module_level", TIMEOUT, "while True:\n    pass\ndef evaluate(response): return True", True),
    body("deadlock", TIMEOUT, "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\nreturn True"),
    body(
        "loop_in_swallowed_memory_error",
        TIMEOUT,
        """
        kept = []
        while True:
            try:
                kept.append(bytearray(1 << 26))
            except MemoryError:
                pass
        """,
        False,
    ),
    body(
        "deep_recursion",
        "timeout crash memory error",
        """
        import sys
        sys.setrecursionlimit(10 ** 9)
        def down(n): return down(n + 1)
        return down(0)
        """,
    ),
    case(
        "deep_c_recursion",
        "timeout crash memory error",
        """
        import sys
        sys.setrecursionlimit(10 ** 9)
        class Nest:
            def __repr__(self): return repr([self])
        def evaluate(response): return repr(Nest()) == ""
        """,
    ),
    case(
        "slow_repr", TIMEOUT, "class X:\n    def __repr__(self):\n        while True: pass\ndef evaluate(r): return X()"
    ),
    case(
        "slow_exception_text",
        TIMEOUT,
        """
        class X(Exception):
            def __str__(self):
                while True: pass
        def evaluate(response): raise X()
        """,
    ),
    body("sort_something_endless", "timeout memory", "return sorted(iter(int, 1)) == []", True),
    body("iter_never_ends", TIMEOUT, "for _ in iter(int, 1): pass", True),
]

SPACE = [
    body("huge_bytearray", "memory error", "return len(bytearray(1 << 40)) > 0"),
    body("growing_list", MEMORY, "x = []\nwhile True: x.append('a' * 1000000 + str(len(x)))", True),
    body("growing_string", MEMORY, "s = 'ab'\nwhile True: s = s + s", True),
    body("huge_repeat", MEMORY, "return len('x' * (1 << 50)) > 0", True),
    body("huge_mmap", "error memory", "import mmap\nreturn len(mmap.mmap(-1, 1 << 40)) > 0"),
    body("nested_parse_bomb", "error memory crash", "return eval('(' * 100000 + ')' * 100000) == ()"),
    body(
        "nested_list_bomb",
        "error memory crash",
        "import ast\nreturn ast.literal_eval('[' * 100000 + ']' * 100000) == 1",
    ),
    case("source_bomb", "load_error crash", "x = " + "(" * 5000 + ")" * 5000),
    case("source_bomb_operators", "load_error crash", "x = " + "-" * 200000 + "1\ndef evaluate(r): return True"),
    case("constant_bomb", "load_error timeout crash", "x = ((1,) * (1 << 40))\ndef evaluate(r): return True", True),
    body("width_bomb", "memory error", "return len(f'{1:{1 << 40}}') > 0", True),
    body("json_bomb", ERROR, "import json\nreturn json.loads('[' * 200000) == 1", True),
]

PROCESSES = [
    body("threads", ERROR, "import threading\nthreading.Thread(target=print).start()\nreturn True"),
    body("thread_raw", ERROR, "import _thread\n_thread.start_new_thread(print, ())\nreturn True"),
    body("stdin", ERROR, "return input() == ''"),
    body("fork_bomb", ERROR, "import os\nwhile True: os.fork()"),
    body("fork_through_posix", ERROR, "import posix\npid = posix.fork()\nreturn True"),
    body("daemonised_orphan", ERROR, "import os\nif os.fork() == 0:\n    os.setsid()\n    os.fork()\nreturn True"),
    body("posix_spawn", ERROR, "import os\nos.posix_spawn('/bin/true', ['true'], {})\nreturn True"),
    body("execv", ERROR, "import os\nos.execv('/bin/true', ['true'])"),
    body("system", "error false", "import os\nreturn os.system('true') == 0"),
    body("subprocess", ERROR, "import subprocess\nsubprocess.run(['/bin/true'])\nreturn True"),
    body(
        "multiprocessing",
        ERROR,
        """
        import multiprocessing
        p = multiprocessing.get_context('fork').Process(target=print)
        p.start()
        return True
        """,
    ),
    body("system_exit", ERROR, "import sys\nsys.exit(0)"),
    body("raise_system_exit", ERROR, "raise BaseException('out')", True),
    body("keyboard_interrupt", ERROR, "raise KeyboardInterrupt()"),
    body("kill_parent", ERROR, "import os\nos.kill(os.getppid(), 9)\nreturn True"),
    body("kill_supervisor", ERROR, "import os\nos.kill(@SUPERVISOR@, 9)\nreturn True"),
    body("kill_everything", ERROR, "import os\nos.kill(-1, 9)\nreturn True"),
    body("kill_group", ERROR, "import os\nos.killpg(0, 9)\nreturn True"),
    body("signal_itself", "error crash", "import signal\nsignal.raise_signal(9)\nreturn True"),
    body("signal_through_queue", "error crash", "import os, signal\nsignal.pthread_kill(1, 9)\nreturn True"),
    body("exit_zero", CRASH, "import os\nos._exit(0)"),
    case("exit_zero_on_load", CRASH, "import os\nos._exit(0)\ndef evaluate(r): return True"),
    body("segfault", CRASH, "import ctypes\nctypes.string_at(0)\nreturn True"),
    body("abort", CRASH, "import os\nos.abort()"),
    body(
        "alarm_death", "crash error", "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(9)"
    ),
    body("become_session_leader", ERROR, "import os\nos.setsid()\nreturn True"),
]

FILES = [
    body("remove", ERROR, "import os\nos.remove('@CANARY@')\nreturn True"),
    body("unlink_in_c", "error false", "import ctypes\nreturn ctypes.CDLL(None).unlink(b'@CANARY@') == 0"),
    body("overwrite", ERROR, "open('@CANARY@', 'w').write('owned')\nreturn True"),
    body("append", ERROR, "open('@CANARY@', 'a').write('owned')\nreturn True"),
    body("pathlib_write", ERROR, "import pathlib\npathlib.Path('@SCRATCH@/new').write_text('owned')\nreturn True"),
    body("file_io", ERROR, "import io\nio.FileIO('@SCRATCH@/raw', 'w').write(b'owned')\nreturn True"),
    body("os_open_create", ERROR, "import os\nos.open('@SCRATCH@/made', os.O_CREAT | os.O_RDONLY)\nreturn True"),
    body("tmpfile", ERROR, "import tempfile\ntempfile.TemporaryFile().write(b'x' * 100)\nreturn True"),
    body("truncate", ERROR, "import os\nos.truncate('@CANARY@', 0)\nreturn True"),
    body("chmod", ERROR, "import os\nos.chmod('@CANARY@', 0)\nreturn True"),
    body("touch", ERROR, "import os\nos.utime('@CANARY@', (1, 1))\nreturn True"),
    body("mkdir_flood", ERROR, "import os\nfor i in range(1000): os.mkdir('@SCRATCH@/d%d' % i)\nreturn True"),
    body("symlink", ERROR, "import os\nos.symlink('/etc/passwd', '@SCRATCH@/link')\nreturn True"),
    body("hard_link", ERROR, "import os\nos.link('@CANARY@', '@SCRATCH@/hard')\nreturn True"),
    body("rename", ERROR, "import os\nos.rename('@CANARY@', '@SCRATCH@/gone')\nreturn True"),
    body("fifo", ERROR, "import os\nos.mkfifo('@SCRATCH@/fifo')\nreturn True"),
    body("chroot", ERROR, "import os\nos.chroot('/tmp')\nreturn True"),
    body("fill_shm", ERROR, "f = open('/dev/shm/autoif-redteam', 'wb')\nwhile True: f.write(b'x' * (1 << 20))"),
    body(
        "shared_memory",
        ERROR,
        "from multiprocessing import shared_memory as s\ns.SharedMemory(create=True, size=99)\nreturn True",
    ),
    body("read_secret", ERROR, "return '@SECRET@' in open('@CANARY@').read()"),
    body("read_passwd", ERROR, "return 'root' in open('/etc/passwd').read()"),
    body("list_root", ERROR, "import os\nreturn 'etc' in os.listdir('/')"),
    body(
        "read_parent_environment",
        ERROR,
        "import os\nreturn b'@SECRET@' in open('/proc/%d/environ' % os.getppid(), 'rb').read()",
    ),
    body("read_supervisor_environment", ERROR, "return b'@SECRET@' in open('/proc/@SUPERVISOR@/environ', 'rb').read()"),
    body("read_supervisor_memory", ERROR, "return len(open('/proc/@SUPERVISOR@/mem', 'rb').read(1)) > 0"),
    body("write_own_memory", ERROR, "open('/proc/self/mem', 'r+b')\nreturn True"),
    body("environment", FALSE, "import os\nreturn any('@SECRET@' in value for value in os.environ.values())"),
]

NETWORK = [
    body("tcp", ERROR, "import socket\nsocket.create_connection(('127.0.0.1', @TCP@)).send(b'x')\nreturn True"),
    body("udp", ERROR, "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', @UDP@))\nreturn True"),
    body("urllib", ERROR, "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:@TCP@/')\nreturn True"),
    body("unix_socket", ERROR, "import socket\nsocket.socketpair()\nreturn True"),
    body(
        "dns", ERROR, "import socket\nreturn len(socket.getaddrinfo('localhost', 80)) > 0 and socket.socket() and True"
    ),
]

KERNEL = [
    body(
        "executable_memory",
        ERROR,
        "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\nreturn True",
    ),
    body(
        "make_executable",
        FALSE,
        "import ctypes\nb = ctypes.create_string_buffer(8192)\na = (ctypes.addressof(b) + 4095) & ~4095\nreturn ctypes.CDLL(None).mprotect(ctypes.c_void_p(a), 4096, 7) == 0",
    ),
    body("memfd", ERROR, "import os\nos.memfd_create('x')\nreturn True"),
    body("raise_limits", ERROR, "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nreturn True"),
    body(
        "raise_parent_limits",
        ERROR,
        "import os, resource\nresource.prlimit(os.getppid() or 1, resource.RLIMIT_AS, (1, 1))\nreturn True",
    ),
    body("fcntl_setsig", ERROR, "import fcntl\nfcntl.fcntl(0, 10, 9)\nreturn True"),
    body("fcntl_setown", ERROR, "import fcntl, os\nfcntl.fcntl(0, fcntl.F_SETOWN, os.getppid() or 1)\nreturn True"),
    body("ptrace", FALSE, SYSCALL.format(call="ptrace(16, 1, 0, 0)")),
    body("unshare", FALSE, SYSCALL.format(call="unshare(0x10000000)")),
    body("io_uring", FALSE, SYSCALL.format(call="syscall(425, 8, ctypes.create_string_buffer(256))")),
    body("bpf", FALSE, SYSCALL.format(call="syscall(321, 0, 0, 0)")),
    body("clone3", FALSE, SYSCALL.format(call="syscall(435, ctypes.create_string_buffer(88), 88)")),
    body("pidfd", FALSE, SYSCALL.format(call="syscall(434, 1, 0)")),
    body("process_vm", FALSE, SYSCALL.format(call="process_vm_readv(1, 0, 0, 0, 0, 0)")),
    body("personality", FALSE, SYSCALL.format(call="personality(0x0040000)")),
    body("drop_parent_death_signal", FALSE, SYSCALL.format(call="prctl(1, 0, 0, 0, 0)")),
    body("setuid", ERROR, "import os\nos.setuid(0)\nos.setgid(0)\nreturn True"),
    body("mount", FALSE, SYSCALL.format(call="mount(b'none', b'/tmp', b'tmpfs', 0, 0)")),
    body("reboot", FALSE, SYSCALL.format(call="reboot(0)")),
    body("fake_syscall_abi", "crash false", SYSCALL.format(call="syscall(0x40000000 + 57)")),
    body("priority", ERROR, "import os\nos.nice(-10)\nos.setpriority(0, 0, -10)\nreturn True"),
    body("pin_to_core", ERROR, "import os\nos.sched_setaffinity(0, {0})\nreturn True"),
]

FORGERY = [
    case("eq_says_true", OTHER, "class X:\n    def __eq__(self, other): return True\ndef evaluate(r): return X()"),
    case(
        "bool_says_true",
        OTHER,
        "class X:\n    def __bool__(self): return True\n    __hash__ = None\ndef evaluate(r): return X()",
    ),
    case("class_says_bool", OTHER, "class X(int):\n    __class__ = bool\ndef evaluate(r): return X(1)"),
    case(
        "string_subclass",
        OTHER,
        "class X(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\ndef evaluate(r): return X('true')",
    ),
    body("one", OTHER, "return 1", True),
    body("string", OTHER, "return 'yes'", True),
    body("match_object", OTHER, "import re\nreturn re.match('.*', 'a')", True),
    body("missing_return", NONE, "len(response)", True),
    case("not_enough_parameters", ERROR, "evaluate = lambda: True", True),
    case("arity", ERROR, "def evaluate(): return True", True),
    body("missing_import", ERROR, "import a_module_that_does_not_exist"),
    case("no_evaluate", LOAD, "def check(response): return True", True),
    case("evaluate_is_no_function", LOAD, "evaluate = True", True),
    case("syntax_error", LOAD, "def evaluate(response) return True"),
    case("nul_in_source", "load_error", "def evaluate(r): return True\0"),
    body("reload_os", ERROR, "import importlib, os\nimportlib.reload(os).fork()\nreturn True"),
    body(
        "results_through_gc",
        "crash error false none",
        """
        import gc
        for o in gc.get_objects():
            if type(o).__name__ == 'Board':
                o.results[0:4] = b'\\xee' * 4
                __import__('os')._exit(0)
        """,
    ),
]

MESS = [
    body("megabytes_to_stdout", FALSE, "for _ in range(100): print('x' * 200000)\nreturn False", True),
    body("megabytes_to_fd_1", FALSE, "import os\nfor _ in range(100): os.write(1, b'x' * 1000000)\nreturn False"),
    body("close_all_fds", FALSE, "import os\nos.closerange(0, 4096)\nreturn False"),
    body("poison_re", FALSE, "import re\nre.compile = re.match = re.search = None\nreturn False"),
    body("poison_modules", FALSE, "import sys\nsys.modules.clear()\nreturn False"),
    body(
        "poison_builtins",
        FALSE,
        "import builtins\nbuiltins.len = builtins.str = builtins.isinstance = None\nreturn False",
    ),
    body("poison_builtins_in_place", FALSE, "vars(__import__('builtins'))['len'] = None\nreturn False"),
    body("poison_class", FALSE, "import collections\ncollections.Counter.most_common = None\nreturn False"),
    body(
        "set_trace", FALSE, "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\nreturn False"
    ),
    body("atexit_loop", FALSE, "import atexit\n@atexit.register\ndef loop():\n    while True: pass\nreturn False"),
    case(
        "del_loop",
        FALSE,
        "class X:\n    def __del__(self):\n        while True: pass\nkept = X()\ndef evaluate(r): return False",
    ),
    body(
        "frames",
        FALSE,
        "import sys\nf = sys._getframe()\nwhile f:\n    f.f_globals.clear() if f.f_back is None else None\n    f = f.f_back\nreturn False",
    ),
    body("poison_random", FALSE, "import random\nrandom.seed(1)\nrandom.random = lambda: 4\nreturn False"),
    body(
        "poison_locale",
        "false error",
        "import locale, decimal\nlocale.setlocale(locale.LC_ALL, 'C')\ndecimal.getcontext().prec = 1\nreturn False",
    ),
    body("change_folder", "error false", "import os\nos.chdir('/tmp')\nreturn False"),
]

HOSTILE: list[Hostile] = [*TIME, *SPACE, *PROCESSES, *FILES, *NETWORK, *KERNEL, *FORGERY, *MESS, *SLY]

BRIEF: list[Hostile] = [
    each for each in HOSTILE if each not in TIME[6:] and not (each in SLY and TIMEOUT in each.expected)
]
"""For a second user: the clocks are the same whoever runs the engine, and waiting for them is what takes long."""
