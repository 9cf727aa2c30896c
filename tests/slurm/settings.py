"""The cohort of the faults, and the configuration files of the cluster, as text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

CPU_NODES: Final = ("c1",)
N_GPUS: Final[Mapping[str, int]] = {"g1": 2, "g2": 2, "g3": 1}
NODES: Final = (*CPU_NODES, *N_GPUS)
ACCOUNT: Final = "tests"
# Two shards: one meets the fault, the other must not notice. Each costs three jobs of their own.
N_SHARDS: Final = 2
SHARD_SIZE: Final = 4
N_PORTS: Final = 3 + len(NODES)  # controller, accounting, database, one a node

# Everything reacts quickly: these are not settings for people's clusters.
_SLURM: Final = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/own.slurmctld.pid
SlurmdPidFile={root}/run/own.slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info
# No cgroups: they need more than a container has.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,defer_batch
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
SlurmdTimeout=20
SlurmctldTimeout=20
BatchStartTimeout=3
MessageTimeout=5
KillWait=5
CompleteWait=0
InactiveLimit=0
MinJobAge=300
MaxArraySize=1001
DefMemPerCPU=100
PriorityType=priority/basic
GresTypes=gpu
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
# Without it the connection to slurmdbd looks for munge's usual socket.
AccountingStoragePass={root}/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
AccountingStorageEnforce=associations,limits,qos
NodeName=DEFAULT CPUs={n_cpus} RealMemory={memory_mb} State=UNKNOWN
{nodes}
PartitionName=DEFAULT MaxTime=4:00:00 DefaultTime=10 State=UP
PartitionName=cpu Nodes={cpu_nodes} Default=YES
PartitionName=gpu Nodes={gpu_nodes} PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=urgent Nodes={gpu_nodes} PriorityTier=10 PreemptMode=OFF
"""

_SLURMDBD: Final = """\
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting_port}
SlurmUser=root
LogFile={root}/log/slurmdbd.log
PidFile={root}/run/own.slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""

_MARIADB: Final = """\
[mysqld]
user=root
datadir={root}/database
socket={root}/run/mariadb.socket
pid-file={root}/run/own.mariadbd.pid
log-error={root}/log/mariadbd.log
bind-address=127.0.0.1
port={database_port}
tmpdir={root}/tmp
skip-name-resolve
skip-log-bin
performance_schema=off
innodb_buffer_pool_size=64M
innodb_log_file_size=8M
innodb_flush_log_at_trx_commit=0
innodb_lock_wait_timeout=900
"""


def write_settings(root: Path, *, host: str, base_port: int, n_cpus: int, memory_mb: int) -> None:
    """Write all configuration files below ``root/etc``, and the devices that pass for GPUs."""
    values = {
        "root": root,
        "host": host,
        "controller_port": base_port,
        "accounting_port": base_port + 1,
        "database_port": base_port + 2,
        "n_cpus": n_cpus,
        "memory_mb": memory_mb,
        "cpu_nodes": ",".join(CPU_NODES),
        "gpu_nodes": ",".join(N_GPUS),
        "nodes": "\n".join(_node(name, host, base_port + 3 + k) for k, name in enumerate(NODES)),
    }
    folder = root / "etc"
    (folder / "slurm.conf").write_text(_SLURM.format(**values))
    (folder / "gres.conf").write_text(_gpus(root))
    (folder / "slurmdbd.conf").write_text(_SLURMDBD.format(**values))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "my.cnf").write_text(_MARIADB.format(**values))


def _node(name: str, host: str, port: int) -> str:
    gpus = f" Gres=gpu:fake:{N_GPUS[name]}" if name in N_GPUS else ""
    return f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}{gpus}"


def _gpus(root: Path) -> str:
    """Pretend GPUs: SLURM wants a device file for each, and /dev/null is one."""
    lines = ["AutoDetect=off"]
    for name, n_gpus in N_GPUS.items():
        folder = root / "dev" / name
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(n_gpus):
            (folder / f"gpu{k}").unlink(missing_ok=True)
            (folder / f"gpu{k}").symlink_to("/dev/null")
        lines.append(f"NodeName={name} Name=gpu Type=fake File={folder}/gpu[0-{n_gpus - 1}]")
    return "\n".join(lines) + "\n"
