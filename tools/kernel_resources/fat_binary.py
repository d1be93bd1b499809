"""Fat binaries, as nvcc puts them into objects and its linker into libraries and programs: one for each source, with an entry for each architecture."""
import dataclasses
import struct

MAGIC = struct.pack('<I', 0xba55ed50)
PTX, MACHINE_CODE = 1, 2  # kinds of an entry
COMPRESSED = 0x2000 | 0x8000  # flags of an entry: LZ4, Zstandard


@dataclasses.dataclass(frozen=True)
class Entry:
    kind: int
    target: int  # 80 is compute_80 or sm_80
    flags: int
    data: bytes

    @property
    def is_ptx(self):
        return self.kind == PTX

    @property
    def is_machine_code(self):
        return self.kind == MACHINE_CODE

    def text(self):
        """Of PTX."""
        if self.flags & COMPRESSED:
            raise ValueError('its PTX is compressed; build with --compress-mode=none')
        return self.data.split(b'\0')[0].decode()


def read(data):
    """The entries of each fat binary in the bytes of a file."""
    found = []
    at = data.find(MAGIC)
    while at >= 0:
        header, size = struct.unpack_from('<HQ', data, at + 6)
        entry, end, entries = at + header, at + header + size, []
        while entry < end:
            kind, entry_header, entry_size = struct.unpack_from('<HxxIQ', data, entry)
            target, flags = struct.unpack_from('<I', data, entry + 28)[0], struct.unpack_from('<Q', data, entry + 40)[0]
            entries.append(Entry(kind, target, flags, data[entry + entry_header:entry + entry_header + entry_size]))
            entry += entry_header + entry_size
        found.append(entries)
        at = data.find(MAGIC, at + 1)
    return found
