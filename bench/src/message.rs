//! Just enough HTTP/1.1 to count messages: where a head ends, how long its
//! body is. Reads only what this harness itself or a proxy of it wrote.

/// How much of the current message is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    /// Bytes of the body that are still to come.
    Body(u64),
    /// Until the last chunk, `0 CR LF CR LF`.
    Chunks,
}

/// Finds the ends of messages in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Messages {
    phase: Phase,
    buffer: Vec<u8>,
}

/// A message that has been read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The status of a response; 0 for a request.
    pub(crate) status: u16,
    /// The first byte after the first space: `/` and what follows choose the
    /// answer of an origin.
    pub(crate) path: [u8; 8],
}

/// It is not what this harness can read.
#[derive(Debug)]
pub(crate) struct Unreadable;

impl Default for Messages {
    fn default() -> Self {
        Self { phase: Phase::Head, buffer: Vec::new() }
    }
}

impl Messages {
    /// Takes `data` and calls `seen` at the end of each message in it.
    pub(crate) fn take(
        &mut self,
        data: &[u8],
        last: &mut Seen,
        mut seen: impl FnMut(Seen),
    ) -> Result<(), Unreadable> {
        // The usual case: whole messages, nothing left from before.
        if self.buffer.is_empty() {
            return self.read(data, last, &mut seen);
        }
        let mut kept = std::mem::take(&mut self.buffer);
        kept.extend_from_slice(data);
        self.read(&kept, last, &mut seen)
    }

    fn read(
        &mut self,
        mut data: &[u8],
        last: &mut Seen,
        seen: &mut impl FnMut(Seen),
    ) -> Result<(), Unreadable> {
        while !data.is_empty() {
            match self.phase {
                Phase::Head => {
                    let Some(end) = find(data, b"\r\n\r\n") else {
                        self.buffer = data.to_vec();
                        return Ok(());
                    };
                    let head = &data[..end + 2];
                    data = &data[end + 4..];
                    *last = first_line(head).ok_or(Unreadable)?;
                    self.phase = body(head);
                }
                Phase::Body(left) => {
                    let part = left.min(data.len() as u64);
                    data = &data[usize::try_from(part).unwrap_or(data.len())..];
                    self.phase = Phase::Body(left - part);
                }
                Phase::Chunks => match find(data, b"0\r\n\r\n") {
                    Some(end) => {
                        data = &data[end + 5..];
                        self.phase = Phase::Body(0);
                    }
                    None => {
                        // The mark may be cut in two.
                        let keep = data.len().min(4);
                        self.buffer = data[data.len() - keep..].to_vec();
                        return Ok(());
                    }
                },
            }
            if self.phase == Phase::Body(0) {
                self.phase = Phase::Head;
                seen(*last);
            }
        }
        Ok(())
    }
}

fn find(data: &[u8], mark: &[u8]) -> Option<usize> {
    data.windows(mark.len()).position(|window| window == mark)
}

fn first_line(head: &[u8]) -> Option<Seen> {
    let space = head.iter().position(|byte| *byte == b' ')?;
    let rest = &head[space + 1..];
    let status = std::str::from_utf8(rest.get(..3)?).ok().and_then(|text| text.parse().ok());
    let mut path = [0; 8];
    // A relay does not strip the prefix.
    let rest = rest.strip_prefix(b"/api").unwrap_or(rest);
    let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(0).min(path.len());
    path[..length].copy_from_slice(&rest[..length]);
    Some(Seen { status: status.unwrap_or(0), path })
}

fn body(head: &[u8]) -> Phase {
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            return Phase::Body(length.unwrap_or(0));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Phase::Chunks;
        }
    }
    Phase::Body(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &[u8], pieces: usize) -> usize {
        let (mut messages, mut last) = (Messages::default(), Seen { status: 0, path: [0; 8] });
        let mut count = 0;
        for piece in text.chunks(pieces) {
            messages.take(piece, &mut last, |_| count += 1).expect("readable");
        }
        count
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc\
            HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n";
        for pieces in 1..text.len() {
            assert_eq!(count(text, pieces), 3, "in pieces of {pieces}");
        }
    }
}
