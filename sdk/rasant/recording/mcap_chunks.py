# SPDX-License-Identifier: Apache-2.0
"""The messages of an MCAP file in the order in which they were written, with nothing believed that the file declares.

The file is read once from front to back (a crashed one has no index to seek by), a record is never larger than what is
left of the file, a chunk never unpacks to more than `MAX_CHUNK_BYTES`, and its CRC is checked. A damaged chunk is
reported and skipped, because the next record can still be found; damage between records ends the file.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from rasant.recording.layout import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from mcap.records import Channel, Chunk

__all__ = ["Damage", "Message", "Summary", "read_messages", "read_summary"]

_MAX_RECORD_BYTES = MAX_CHUNK_BYTES + (1 << 20)
_LZ4_RATIO = 256  # LZ4 cannot expand a byte to more than 255
_MESSAGE = struct.Struct("<HIQQ")
_FOOTER_BYTES = 1 + 8 + 20 + 8  # record header, fields, closing magic
_CHANNEL_OPCODE, _MESSAGE_OPCODE = 4, 5


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `data` is a view into its chunk; `sequence` is the number of its frame."""

    topic: str
    sequence: int
    log_time_ns: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """A chunk that was skipped (`final` false), or why the file ends early (`final` true)."""

    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What the end of a complete file says: its channels, and how many messages each topic has."""

    channels: dict[int, Channel]
    counts: dict[str, int]


class _Bounded:
    """A stream that gives exactly what is asked for: a read beyond the end of the file, or a huge one, is its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = os.fstat(file.fileno()).st_size - file.tell()

    def read(self, size: int) -> bytes:
        from mcap.exceptions import EndOfFile

        if size > self._left or size > _MAX_RECORD_BYTES:
            raise EndOfFile
        self._left -= size
        data = self._file.read(size)
        if len(data) != size:
            raise EndOfFile
        return data


def read_messages(file: IO[bytes], known: dict[int, Channel]) -> Iterator[Message | Damage]:
    """Every message of the file and every damage, in order. `known` are channels of the summary, used as a fallback.

    Raises ValueError where the file does not begin as MCAP.
    """
    from mcap.exceptions import InvalidMagic
    from mcap.records import Channel, Chunk, DataEnd
    from mcap.stream_reader import StreamReader

    stream: Any = _Bounded(file)
    channels = dict(known)
    records = StreamReader(stream, emit_chunks=True, record_size_limit=_MAX_RECORD_BYTES).records
    while True:
        try:
            record = next(records)
        except InvalidMagic:
            raise ValueError("the file does not begin as MCAP") from None
        except StopIteration:
            return
        except _damages() as error:
            reason = f"damaged: {error}" if str(error) else "cut short or damaged"
            yield Damage(f"the recording is {reason}; what came before is complete", final=True)
            return
        if isinstance(record, DataEnd):
            return
        if isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Chunk):
            yield from _open_chunk(record, channels)


def read_summary(file: IO[bytes]) -> Summary | None:
    """The summary at the end of a complete file, else None. Moves the file position."""
    from mcap.records import Channel, Footer, Statistics
    from mcap.stream_reader import StreamReader

    size = file.seek(0, io.SEEK_END)
    if size < _FOOTER_BYTES:
        return None
    try:
        file.seek(size - _FOOTER_BYTES)
        footer: Any = next(StreamReader(_bounded(file), skip_magic=True).records)
        if not isinstance(footer, Footer) or not 0 < footer.summary_start < size:
            return None
        file.seek(footer.summary_start)
        records = list(StreamReader(_bounded(file), skip_magic=True).records)
    except StopIteration:
        return None
    except _damages():
        return None
    channels = {record.id: record for record in records if isinstance(record, Channel)}
    counts = next((record.channel_message_counts for record in records if isinstance(record, Statistics)), {})
    return Summary(channels, {channels[key].topic: count for key, count in counts.items() if key in channels})


def _bounded(file: IO[bytes]) -> Any:
    return _Bounded(file)


def _damages() -> tuple[type[Exception], ...]:
    """Everything that the record parser lets out on random bytes."""
    from mcap.exceptions import McapError

    return McapError, struct.error, ValueError, OverflowError, MemoryError


def _open_chunk(chunk: Chunk, channels: dict[int, Channel]) -> Iterator[Message | Damage]:
    """Messages of a chunk; its channels are added to `channels`. One Damage where anything in it is wrong."""
    try:
        yield from list(_parse_chunk(memoryview(_unpack(chunk)), channels))
    except _damages() as error:
        yield Damage(f"a chunk is damaged: {error}")


def _unpack(chunk: Chunk) -> bytes:
    size, data = chunk.uncompressed_size, chunk.data
    if size > MAX_CHUNK_BYTES:
        raise ValueError(f"it declares {size} bytes, more than the {MAX_CHUNK_BYTES} allowed")
    if chunk.compression == "lz4":
        import lz4.frame

        if size > _LZ4_RATIO * len(data):
            raise ValueError(f"it declares {size} bytes and holds {len(data)}")
        decompressor: Any = lz4.frame.LZ4FrameDecompressor
        try:
            data = decompressor().decompress(data, max_length=size + 1)
        except RuntimeError as error:
            raise ValueError(f"LZ4: {error}") from error
    elif chunk.compression:
        raise ValueError(f"compression {chunk.compression!r} is not one that rasant writes (lz4 or none)")
    if len(data) != size:
        raise ValueError(f"it declares {size} bytes and unpacks to {len(data)}")
    if chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        raise ValueError("its checksum differs")
    return data


def _parse_chunk(data: memoryview, channels: dict[int, Channel]) -> Iterator[Message]:
    from mcap.data_stream import ReadDataStream
    from mcap.records import Channel

    position = 0
    while position < len(data):
        opcode, length = struct.unpack_from("<BQ", data, position)
        start, position = position + 9, position + 9 + length
        if position > len(data):
            raise ValueError("a record runs over its end")
        if opcode == _CHANNEL_OPCODE:
            channel = Channel.read(ReadDataStream(io.BytesIO(data[start:position])))
            channels[channel.id] = channel
        elif opcode == _MESSAGE_OPCODE:
            number, sequence, log_time_ns, _ = _MESSAGE.unpack_from(data, start)
            if number not in channels:
                raise ValueError(f"a message belongs to channel {number}, which is described nowhere")
            yield Message(channels[number].topic, sequence, log_time_ns, data[start + _MESSAGE.size : position])
