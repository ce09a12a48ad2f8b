"""A real Slurm of eight nodes on this machine, for the time of a test session: controller, daemons and munge.

Needs root, and Debian's ``slurm-wlm`` and ``munge``; ``make test-slurm`` installs them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NODES = 8

SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool.%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.%n.pid
SlurmctldLogFile={place}/log/slurmctld.log
SlurmdLogFile={place}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=2
MinJobAge=3600
JobRequeue=1
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2,batch_sched_delay=0
GresTypes=gpu
{nodes}
PartitionName=main Nodes=n[1-{count}] Default=YES MaxTime=INFINITE State=UP
"""

NODE = "NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=64 RealMemory=8000 Gres=gpu:8"
TOOLS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands reach the cluster."""
    missing = [name for name in TOOLS if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a test Slurm needs root and slurm-wlm, munge ({', '.join(missing) or 'not root'})")
    place = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "SLURM_CONF": f"{place}/slurm.conf", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    # All nodes are this machine: their names cannot be looked up.
    environment |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    _settle(place)
    with _Munge():
        daemons = [subprocess.Popen(["slurmctld", "-D", "-c"], env=environment, **_QUIET)]
        try:
            names = (f"n{i}" for i in range(1, NODES + 1))
            daemons += [subprocess.Popen(["slurmd", "-D", "-N", name], env=environment, **_QUIET) for name in names]
            wait_for(lambda: _idle(environment) == NODES, 60, "the nodes to be idle")
            yield environment
        finally:
            subprocess.run(["scancel", "--user=root"], env=environment, check=False, timeout=20)
            time.sleep(1)
            for daemon in reversed(daemons):
                daemon.send_signal(signal.SIGTERM)
            for daemon in daemons:
                try:
                    daemon.wait(10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


_QUIET: dict[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


def _settle(place: Path) -> None:
    for name in ("state", "log", *(f"spool.n{i}" for i in range(1, NODES + 1))):
        (place / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(NODE.format(i=i, host=host, port=17000 + i) for i in range(1, NODES + 1))
    (place / "slurm.conf").write_text(SETTINGS.format(host=host, place=place, nodes=nodes, count=NODES))
    (place / "cgroup.conf").write_text("CgroupAutomount=no\n")
    for i in range(8):
        (place / f"gpu{i}").touch()  # Slurm counts files; nobody opens them
    (place / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={place}/gpu[0-7]\n")


def _idle(environment: dict[str, str]) -> int:
    asked = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--states=idle"], env=environment, capture_output=True, text=True, check=False
    )
    return len(asked.stdout.splitlines())


class _Munge:
    """munged, unless one runs already."""

    def __enter__(self) -> None:
        self.daemon: subprocess.Popen[bytes] | None = None
        if subprocess.run(["munge", "-n"], **_QUIET, check=False).returncode == 0:
            return
        account = pwd.getpwnam("munge")
        place = Path("/run/munge")
        place.mkdir(exist_ok=True)
        os.chown(place, account.pw_uid, account.pw_gid)
        command = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--force", "--foreground"]
        self.daemon = subprocess.Popen(command, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}, **_QUIET)
        wait_for(lambda: subprocess.run(["munge", "-n"], **_QUIET, check=False).returncode == 0, 20, "munge")

    def __exit__(self, *_: object) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(10)
