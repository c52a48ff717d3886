"""The system calls that code in the sandbox may not make, as a filter for `bwrap --seccomp`.

All that is not named here is allowed, as in flatpak's filter, which this list follows: the filter
narrows what of the kernel can be attacked, and closes what namespaces leave open (the kernel's
keyrings, memory that no limit counts, other processes' memory). It knows the two machines that
bubblewrap is packaged for; on others there is no sandbox.
"""

from __future__ import annotations

import errno
import platform
import struct

from attrs import frozen

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_CLONE_NEW = 0x7E020080  # every CLONE_NEW... flag of clone(2)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_WORKER_PID = 1

# Number on x86-64 and on arm64; None where that machine has no such call.
REFUSED_CALLS: dict[str, tuple[int | None, int | None]] = {
    # other processes' memory and descriptors
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # parts of the kernel that no test needs
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "syslog": (103, 116),
    "vmsplice": (278, 75),
    "vhangup": (153, 58),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    # keyrings have no namespaces
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # what one candidate would leave to the next
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
# Said not to exist, since programs then do without. A filter cannot read clone3's flags, and files
# in memory count towards no limit.
MISSING_CALLS: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "landlock_create_ruleset": (444, 444),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
}


@frozen
class _Machine:
    column: int
    architecture: int
    x32: bool
    clone: int
    ioctl: int
    socket: int
    socketpair: int
    setpriority: int
    of_a_process: tuple[int, ...]  # calls that change the process that their first argument names


_MACHINES = {
    # prlimit64, sched_setaffinity, sched_setparam, sched_setscheduler, sched_setattr
    "x86_64": _Machine(0, 0xC000003E, True, 56, 16, 41, 53, 141, (302, 203, 142, 144, 314)),
    "aarch64": _Machine(1, 0xC00000B7, False, 220, 29, 198, 199, 140, (261, 122, 118, 119, 274)),
}


def known_machine() -> bool:
    """Whether there is a filter for this machine."""
    return platform.machine() in _MACHINES


def program(*, unix: bool) -> bytes:
    """The filter as classic BPF, for this machine. Raises KeyError on one that is not known.

    With `unix` there may be Unix sockets, as Python's multiprocessing needs them; pairs of streams
    may be made in any case.
    """
    machine = _MACHINES[platform.machine()]
    refused = [n[machine.column] for n in REFUSED_CALLS.values()]
    missing = [n[machine.column] for n in MISSING_CALLS.values()]
    code = [
        _load(_ARCHITECTURE),
        *_unless(_EQUAL, machine.architecture, [_return(errno.EPERM)]),
        _load(_NUMBER),
    ]
    if machine.x32:  # the same calls once more under other numbers
        code += _if(_AT_LEAST, 0x40000000, [_return(errno.ENOSYS)])
    for number in refused:
        code += [] if number is None else _if(_EQUAL, number, [_return(errno.EPERM)])
    for number in missing:
        code += [] if number is None else _if(_EQUAL, number, [_return(errno.ENOSYS)])
    allow = _statement(_RETURN, _ALLOW)
    code += _if(
        _EQUAL,
        machine.clone,
        [_load_argument(0), *_if(_ANY_BIT, _CLONE_NEW, [_return(errno.EPERM)]), allow],
    )
    code += _if(
        _EQUAL,
        machine.ioctl,
        [
            _load_argument(1),
            *_if(_EQUAL, _TIOCSTI, [_return(errno.EPERM)]),
            *_if(_EQUAL, _TIOCLINUX, [_return(errno.EPERM)]),
            allow,
        ],
    )
    code += _if(
        _EQUAL,
        machine.setpriority,
        [
            # Of one process, and not of the worker: never of all of the user's.
            _load_argument(0),
            *_unless(_EQUAL, 0, [_return(errno.EPERM)]),
            _load_argument(1),
            *_if(_EQUAL, _WORKER_PID, [_return(errno.EPERM)]),
            allow,
        ],
    )
    for number in machine.of_a_process:
        code += _if(
            _EQUAL,
            number,
            [_load_argument(0), *_if(_EQUAL, _WORKER_PID, [_return(errno.EPERM)]), allow],
        )
    code += _if(_EQUAL, machine.socket, _socket_rules(unix=unix))
    if not unix:
        # A pair of streams can only talk to each other; others could be connected anew.
        stream = [
            _load_argument(1),
            _statement(_AND, 0xF),
            *_if(_EQUAL, 1, [allow]),
            _return(errno.EAFNOSUPPORT),
        ]
        code += _if(_EQUAL, machine.socketpair, stream)
    return b"".join([*code, allow])


def _socket_rules(*, unix: bool) -> list[bytes]:
    """Unix, the two internets (where nothing answers), and netlink for questions of routes."""
    allow = _statement(_RETURN, _ALLOW)
    local, inet, inet6, netlink = 1, 2, 10, 16
    rules = [_load_argument(0)]
    for family in (*([local] if unix else []), inet, inet6):
        rules += _if(_EQUAL, family, [allow])
    route = [_load_argument(2), *_if(_EQUAL, 0, [allow])]
    return [*rules, *_if(_EQUAL, netlink, route), _return(errno.EAFNOSUPPORT)]


def _statement(code: int, value: int, jump: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump, otherwise, value)


def _load(offset: int) -> bytes:
    return _statement(_LOAD, offset)


def _load_argument(index: int) -> bytes:
    # The lower half; both machines are little-endian, and what is compared fits into it.
    return _load(_ARGUMENTS + 8 * index)


def _return(number: int) -> bytes:
    return _statement(_RETURN, _ERRNO | number)


def _if(test: int, value: int, then: list[bytes]) -> list[bytes]:
    return [_statement(test, value, 0, len(then)), *then]


def _unless(test: int, value: int, then: list[bytes]) -> list[bytes]:
    return [_statement(test, value, len(then), 0), *then]
