"""Slyer hostile functions: they act after the call or beside it, pose as booleans, poison what they share a process with,
wear out a resource, or reach for the sandbox itself.

The notation is that of :mod:`hostile`.
"""
# ruff: noqa: E501 - a case on one line, however long, can be scanned

from __future__ import annotations

from case import ERROR, FALSE, MEMORY, OTHER, SYSCALL, TIMEOUT, Hostile, body, case

LINGERING = [
    case(
        "weakref_finaliser",
        FALSE,
        """
        import os, weakref
        class X: pass
        kept = X()
        weakref.finalize(kept, os._exit, 0)
        weakref.ref(kept, lambda r: os._exit(0))
        def evaluate(response): return False
        """,
    ),
    body(
        "gc_callback",
        "error false",
        """
        import gc
        def hook(phase, info): raise BaseException('from the collector')
        gc.callbacks.append(hook)
        gc.set_threshold(1)
        kept = [[] for _ in range(100)]
        return False
        """,
    ),
    body(
        "gc_callback_loop",
        TIMEOUT,
        "import gc\ndef hook(phase, info):\n    while True: pass\ngc.callbacks.append(hook)\ngc.collect()\nreturn True",
    ),
    body(
        "thaw_the_collector",
        "false timeout",
        "import gc\ngc.unfreeze()\ngc.collect()\nfor o in gc.get_objects():\n    if type(o) is dict: o.pop('results', None)\nreturn False",
    ),
    case(
        "generator_left_open",
        FALSE,
        """
        def steps():
            try:
                yield 1
            finally:
                while True: pass
        kept = [steps()]
        def evaluate(response):
            next(kept[0], None)
            return False
        """,
    ),
    case(
        "coroutine_never_awaited",
        OTHER,
        "async def evaluate(response):\n    while True: pass",
    ),
    body(
        "asynchronous_exception",
        "error timeout crash",
        """
        import ctypes, threading
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SystemExit))
        while True: pass
        """,
    ),
    body("exit_status_zero_in_shared", "crash error", "import os, atexit\natexit._run_exitfuncs()\nos._exit(0)"),
    body(
        "signal_handler_left_behind",
        "false crash",
        "import signal\nsignal.signal(signal.SIGALRM, lambda *a: 1 / 0)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\nreturn False",
    ),
    body(
        "excepthook",
        ERROR,
        "import sys, os\nsys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)\nraise ValueError('hooked')",
    ),
    body(
        "wake_up_descriptor",
        "error false",
        "import signal, os\nsignal.set_wakeup_fd(os.dup(1), warn_on_full_buffer=False)\nreturn False",
    ),
]
"""What works after the call, or beside it."""

DISGUISES = [
    case(
        "bool_lookalike",
        OTHER,
        """
        class Meta(type):
            def __eq__(self, other): return True
            def __hash__(self): return hash(bool)
            def __instancecheck__(self, other): return True
        class X(metaclass=Meta):
            def __hash__(self): return hash(True)
            def __eq__(self, other): return True
        def evaluate(response): return X()
        """,
    ),
    case(
        "string_subclass_with_hash",
        OTHER,
        "class X(str):\n    def __hash__(self): return hash('true')\n    def __eq__(self, o): return True\ndef evaluate(r): return X('TRUE')",
    ),
    case(
        "repr_raises",
        OTHER,
        "class X:\n    def __repr__(self): raise ValueError('no repr')\ndef evaluate(r): return X()",
    ),
    case("repr_is_no_text", OTHER, "class X:\n    def __repr__(self): return 1\ndef evaluate(r): return X()"),
    case(
        "repr_exits", "crash", "import os\nclass X:\n    def __repr__(self): os._exit(0)\ndef evaluate(r): return X()"
    ),
    case(
        "repr_is_huge",
        "other memory error",
        "class X:\n    def __repr__(self): return 'x' * (1 << 24)\ndef evaluate(r): return X()",
    ),
    case(
        "exception_text_raises",
        ERROR,
        "class X(Exception):\n    def __str__(self): raise self\ndef evaluate(r): raise X()",
    ),
    case(
        "exception_text_is_no_text",
        ERROR,
        "class X(Exception):\n    def __str__(self): return None\ndef evaluate(r): raise X()",
    ),
    case(
        "exception_name_lies",
        ERROR,
        "class Meta(type):\n    __name__ = property(lambda self: 1 / 0)\nclass X(Exception, metaclass=Meta):\n    def __str__(self): raise self\ndef evaluate(r): raise X()",
    ),
    case("exception_class_says_memory", "memory error", "class X(MemoryError): pass\ndef evaluate(r): raise X()"),
    body(
        "exception_chain",
        ERROR,
        "e = None\nfor i in range(100000):\n    n = ValueError(i)\n    n.__cause__ = e\n    e = n\nraise e",
    ),
    body("exception_group", ERROR, "e = ValueError()\nfor _ in range(5000): e = ExceptionGroup('g', [e])\nraise e"),
    body("surrogate_in_error", ERROR, "raise ValueError('\\ud800' * 10)", True),
    body("terminal_codes_in_error", ERROR, "raise ValueError('\\x1b[2J\\x1b]0;owned\\x07')", True),
    case("evaluate_is_a_class", OTHER, "class evaluate:\n    def __new__(cls, r): return super().__new__(cls)"),
    case(
        "callable_says_true",
        OTHER,
        "class X:\n    def __call__(self, r): return self\n    def __eq__(self, o): return True\n    __hash__ = None\nevaluate = X()",
    ),
    case(
        "module_replaces_itself",
        "false error load_error",
        "import sys\nsys.modules[__name__] = None\ndef evaluate(r): return False",
    ),
]

POISON = [
    body(
        "codec_registered",
        "false error",
        """
        import codecs
        def search(name):
            import os
            os._exit(0)
        codecs.register(search)
        codecs.register_error('backslashreplace', lambda e: (_ for _ in ()).throw(SystemExit))
        'a'.encode('nothing_like_it') if response == 'zzz' else None
        return False
        """,
    ),
    body(
        "codec_error_handler",
        ERROR,
        "import codecs\ncodecs.register_error('backslashreplace', lambda e: ('x' * 1000, e.end))\nraise ValueError('\\ud800' * 99)",
    ),
    body(
        "modules_poisoned",
        FALSE,
        "import sys\nclass M:\n    def __getattr__(self, name): return lambda *a, **k: True\nfor name in list(sys.modules): sys.modules[name] = M()\nreturn False",
    ),
    body(
        "import_hook",
        FALSE,
        "import sys\nclass F:\n    def find_spec(self, *a): raise SystemExit\nsys.meta_path[:] = [F()]\nsys.path_hooks.clear()\nreturn False",
    ),
    body(
        "import_function",
        FALSE,
        "import builtins\nbuiltins.__import__ = lambda *a, **k: 1 / 0\nbuiltins.compile = builtins.exec = None\nreturn False",
    ),
    body(
        "build_class",
        FALSE,
        "import builtins\nbuiltins.__build_class__ = None\nbuiltins.BaseException = builtins.Exception = int\nreturn False",
    ),
    body("path_emptied", FALSE, "import sys\nsys.path.clear()\nsys.path_importer_cache.clear()\nreturn False"),
    body("std_streams_closed", FALSE, "import sys\nsys.stdout.close()\nsys.stderr = sys.stdout = None\nreturn False"),
    body("recursion_limit_low", "false error", "import sys\nsys.setrecursionlimit(30)\nreturn False"),
    body(
        "int_digits_unlimited",
        "timeout error memory",
        "import sys\nsys.set_int_max_str_digits(0)\nreturn len(str(1 << 50_000_000)) < 0",
    ),
    body("switch_interval", FALSE, "import sys\nsys.setswitchinterval(1e9)\nreturn False"),
    body(
        "hash_of_type_patched",
        "false error",
        "import ctypes, gc\ngc.get_referents(str.__dict__)[0]['upper'] = None\nctypes.pythonapi.PyType_Modified(ctypes.py_object(str))\nreturn False",
    ),
    body(
        "constant_rewritten",
        "false crash other error",
        "import ctypes\nctypes.memset(id(False) + 24, 1, 1)\nreturn False",
    ),
    body(
        "worker_code_rewritten",
        "false crash error",
        """
        import gc, types
        for o in gc.get_objects() + [m for m in __import__('sys').modules.values()]:
            if isinstance(o, types.ModuleType) and o.__name__.startswith('confined'):
                for name in list(vars(o)):
                    if callable(vars(o)[name]): setattr(o, name, lambda *a, **k: 1)
        return False
        """,
    ),
    body(
        "caller_rewritten",
        "false crash error none other",
        """
        import sys
        f = sys._getframe(1)
        f.f_trace = lambda *a: f.f_trace
        f.f_locals['code'] = 1
        f.f_globals['FALSE'] = f.f_globals['TRUE'] if 'none' == response else f.f_globals['FALSE']
        return False
        """,
    ),
]

RESOURCES = [
    body("descriptors_exhausted", ERROR, "kept = []\nwhile True: kept.append(open('/dev/null'))"),
    body("descriptors_duplicated", ERROR, "import os\nwhile True: os.dup(1)"),
    body("pipes", ERROR, "import os\nwhile True: os.pipe()"),
    body("epoll", ERROR, "import select\nwhile True: select.epoll()"),
    body(
        "just_below_the_memory_limit",
        "false memory",
        "x = bytearray(40 << 20)\nx[::4096] = b'x' * len(x[::4096])\nreturn len(x) == 0",
    ),
    case(
        "memory_kept_between_calls",
        "false memory",
        "kept = []\ndef evaluate(response):\n    kept.append(bytearray(50 << 20))\n    return False",
    ),
    body(
        "address_space_hole_by_hole",
        "memory error timeout",
        "import mmap\nkept = []\nwhile True: kept.append(mmap.mmap(-1, 1 << 16))",
    ),
    body(
        "stack_of_generators",
        "error memory timeout crash",
        "g = iter(())\nfor _ in range(10 ** 6): g = (x for x in g)\nreturn list(g) == [1]",
        True,
    ),
    body(
        "stack_of_iterators",
        "error memory timeout crash",
        "import itertools\ng = iter(())\nfor _ in range(10 ** 6): g = itertools.chain(g)\nreturn list(g) == [1]",
        True,
    ),
    body(
        "deep_tuple",
        "false error memory timeout crash",
        "t = ()\nfor _ in range(10 ** 6): t = (t,)\nreturn t == response",
        True,
    ),
    body("deep_repr", ERROR, "t = []\nfor _ in range(10 ** 5): t = [t]\nreturn repr(t) == response", True),
    body("huge_shift", "memory error timeout", "return (1 << (1 << 40)) == 0", True),
    body("factorial", TIMEOUT, "import math\nreturn math.factorial(10 ** 7) == 0", True),
    body("power_modulo", TIMEOUT, "return pow(3, 10 ** 60000, 10 ** 60000 + 7) == 0", True),
    body(
        "permutations",
        TIMEOUT,
        "from itertools import permutations\nreturn sum(1 for _ in permutations(range(14))) == 0",
        True,
    ),
    body(
        "regex_on_many_words", TIMEOUT, "import re\nreturn re.search(r'(\\w+\\s*)+:', 'word ' * 40) is not None", True
    ),
    body(
        "regex_compiled_huge",
        "false timeout memory error",
        "import re\nreturn re.compile('(?:' * 90 + 'a{9999}' + '){9}' * 90).search(response) == 1",
        True,
    ),
    body("replace_bomb", MEMORY, "s = 'x'\nfor _ in range(40): s = s.replace('x', 'xxxx')\nreturn s == ''", True),
    body("join_bomb", MEMORY, "return len(','.join(['x' * (1 << 20)] * (1 << 14))) == 0", True),
    body(
        "normalisation_bomb",
        "memory timeout",
        "import unicodedata\ns = '\\ufdfa' * (1 << 20)\nwhile True: s = unicodedata.normalize('NFKD', s) * 2",
        True,
    ),
    body(
        "combining_marks",
        TIMEOUT,
        "import unicodedata\nreturn unicodedata.normalize('NFC', ('\\u0344' + '\\u0323') * (1 << 17)) == ''",
        True,
    ),
    body(
        "similarity",
        TIMEOUT,
        "import difflib\nreturn difflib.SequenceMatcher(None, 'ab' * 9999, 'ba' * 9999, False).ratio() == 2",
        True,
    ),
    body("colliding_keys", TIMEOUT, "return len({i * (2 ** 61 - 1): 1 for i in range(10 ** 6)}) == 0", True),
    body(
        "decimal_power",
        "timeout error memory",
        "from decimal import Decimal\nreturn Decimal(3) ** Decimal('1e17') == 0",
        True,
    ),
    body("print_forever", TIMEOUT, "while True: print(response * 1000)", True),
    body(
        "writes_to_every_descriptor",
        "false error",
        "import os\nfor fd in range(64):\n    try: os.write(fd, b'\\xff' * 100000)\n    except OSError: pass\nreturn False",
    ),
    body(
        "reads_from_every_descriptor",
        "false error timeout",
        "import os\nfor fd in range(64):\n    try: os.read(fd, 100000)\n    except OSError: pass\nreturn False",
    ),
    body("random_forever", "error timeout", "import os\nwhile True: os.urandom(1 << 20)"),
]

_BOARD = """
import sys
f = sys._getframe()
while not hasattr(f.f_locals.get('self'), '_board'): f = f.f_back
board = f.f_locals['self']._board
"""

REACHES = [
    body("progress_pretended", TIMEOUT, _BOARD + "while True: board._header[0] = (board._header[0] + 1) % 1000"),
    body("progress_there_and_back", TIMEOUT, _BOARD + "while True: board._header[0] ^= 1"),
    body("results_taken_back", TIMEOUT, _BOARD + "while True: board.results[1] ^= 1"),
    body("loading_pretended", TIMEOUT, _BOARD + "while True: board.loading(board._header[0] % 9)"),
    body(
        "details_pretended",
        FALSE,
        _BOARD + "board._header[2] = 0xFFFFFFF0\nboard._area[:] = b'\\xff' * len(board._area)\nreturn False",
    ),
    body("own_memory_through_proc", "error", "fd = __import__('os').open('/proc/self/mem', 2)\nreturn True"),
    body("own_maps", "error", "return 'python' in open('/proc/self/maps').read()"),
    body("zygote_descriptors", "error false", "import os\nreturn len(os.listdir('/proc/%d/fd' % os.getppid())) > 0"),
    body(
        "board_through_ctypes",
        "error false crash none",
        "import ctypes, gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'Runner': ctypes.memset(id(o), 255, 64)\nreturn False",
    ),
    body("seccomp_replaced", FALSE, SYSCALL.format(call="prctl(22, 0, 0, 0, 0)")),
    body("landlock_again", FALSE, SYSCALL.format(call="syscall(444, 0, 0, 1)")),
    body("namespace_entered", "error false", "import os\nreturn os.open('/proc/1/ns/net', 0) < 0"),
    body("userfaultfd", FALSE, SYSCALL.format(call="syscall(323, 0)")),
    body("perf_event", FALSE, SYSCALL.format(call="syscall(298, 0, 0, -1, -1, 0)")),
    body("keyring", FALSE, SYSCALL.format(call="syscall(248, b'user', b'x', b'x', 1, -3)")),
    body("message_queue", FALSE, SYSCALL.format(call="msgget(0, 0o1600)")),
    body("shared_segment", FALSE, SYSCALL.format(call="shmget(0, 4096, 0o1600)")),
    body("io_uring_enter", FALSE, SYSCALL.format(call="syscall(426, 0, 0, 0, 0, 0)")),
    body("vmsplice", FALSE, SYSCALL.format(call="syscall(278, 1, 0, 0, 0)")),
    body("open_by_handle", FALSE, SYSCALL.format(call="syscall(304, -100, 0, 0)")),
    body("inotify", FALSE, SYSCALL.format(call="inotify_init()")),
    body("timer_signals", FALSE, SYSCALL.format(call="timer_create(0, 0, ctypes.create_string_buffer(64))")),
    body(
        "robust_list_of_another",
        FALSE,
        SYSCALL.format(call="syscall(274, 1, ctypes.create_string_buffer(8), ctypes.create_string_buffer(8))"),
    ),
    body(
        "interpreter_within",
        "error false crash",
        "import _xxsubinterpreters as s\ns.run_string(s.create(), 'while False: pass')\nreturn False",
    ),
    body(
        "loads_a_library_it_wrote",
        ERROR,
        "import ctypes\nopen('@SCRATCH@/x.so', 'wb').write(b'\\x7fELF')\nctypes.CDLL('@SCRATCH@/x.so')\nreturn True",
    ),
    body(
        "sqlite_file",
        "error",
        "import sqlite3\nsqlite3.connect('@SCRATCH@/x.db').execute('create table t (x)')\nreturn True",
    ),
    body("dbm_file", "error", "import dbm\ndbm.open('@SCRATCH@/x', 'c')\nreturn True"),
    body(
        "log_file",
        "error",
        "import logging\nlogging.FileHandler('@SCRATCH@/x.log').emit(logging.makeLogRecord({}))\nreturn True",
    ),
    body("pickle_reduces_to_fork", ERROR, "import pickle\npickle.loads(b'cposix\\nfork\\n(tR.')\nreturn True"),
    body("webbrowser", "error false", "import webbrowser\nreturn webbrowser.open('http://127.0.0.1:@TCP@/')"),
    body("pty", ERROR, "import pty\npty.fork()\nreturn True"),
]

SLY: list[Hostile] = [*LINGERING, *DISGUISES, *POISON, *RESOURCES, *REACHES]
