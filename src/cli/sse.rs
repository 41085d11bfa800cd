//! Server-sent events, the reading half: bytes in any pieces to frames.
//!
//! As in the HTML standard, section 9.2.6, but for `retry`, which nobody here
//! sends.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// The last `id` seen so far; kept from frame to frame.
    pub(super) id: String,
    /// Its kind; empty for `message`.
    pub(super) event: String,
    /// Its data, lines joined by line ends.
    pub(super) data: String,
}

/// Puts frames together.
#[derive(Debug, Default)]
pub(super) struct Frames {
    line: Vec<u8>,
    frame: Frame,
}

impl Frames {
    /// Takes in `bytes` and gives what they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut complete = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let line = String::from_utf8_lossy(&line);
                    complete.extend(self.end_of_line(line.trim_end_matches('\r')));
                }
                byte => self.line.push(*byte),
            }
        }
        complete
    }

    fn end_of_line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let kept = Frame { id: self.frame.id.clone(), ..Frame::default() };
            let frame = std::mem::replace(&mut self.frame, kept);
            return (!frame.data.is_empty() || !frame.event.is_empty()).then_some(frame);
        }
        // A comment has no field name; it keeps the connection alive.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.frame.id),
            "event" => value.clone_into(&mut self.frame.event),
            "data" => {
                if !self.frame.data.is_empty() {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nid: 7-1\nevent: state\ndata: {\"a\":\ndata: 1}\n\nid: 7-2\r\n\
                          data:x\r\n\r\n: keep-alive\n\nevent: reset\n\n";

    fn frame(id: &str, event: &str, data: &str) -> Frame {
        Frame { id: id.to_owned(), event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_come() {
        let expected = [
            frame("7-1", "state", "{\"a\":\n1}"),
            frame("7-2", "", "x"),
            frame("7-2", "reset", ""),
        ];
        for size in 1..=STREAM.len() {
            let mut frames = Frames::default();
            let pieces = STREAM.as_bytes().chunks(size);
            let found: Vec<_> = pieces.flat_map(|piece| frames.push(piece)).collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }
}
