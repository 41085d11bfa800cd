//! One end of a TCP connection, spoken over by bytes: a client's as well as an
//! instance's.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Weak},
    time::Duration,
};

use socket2::SockRef;

use super::{
    PATIENCE,
    message::{Message, fields},
};

/// How the other side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It said goodbye (FIN).
    Closed,
    /// It reset the connection (RST).
    Reset,
}

/// One end of a TCP connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Shared only weakly: dropping this closes the connection.
    stream: Arc<TcpStream>,
    /// Read but not yet asked for.
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to `address`.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("cannot connect"))
    }

    /// Speaks over a connection that is open.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self::new(stream)
    }

    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Self { stream: Arc::new(stream), buffer: Vec::new() }
    }

    /// A way to cut the connection while it is open.
    pub(super) fn weak(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.stream)
    }

    /// The bytes beneath, for protocols that have a library.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "bytes would be lost");
        self.stream.try_clone().expect("a descriptor")
    }

    /// The address of this end.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }

    /// Sends `bytes`. That the other side is gone shows when reading.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    /// Sends `bytes`, and says whether they could be sent.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        (&*self.stream).write_all(bytes.as_ref())
    }

    /// Sends zeros for as long as the other side takes them: `most` bytes, or
    /// until it has taken none for a second. Answers with how many it took.
    pub(crate) fn send_until_stuck(&mut self, most: usize) -> usize {
        const CHUNK: [u8; 16 * 1024] = [0; 16 * 1024];
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let mut taken = 0;
        while taken < most {
            match (&*self.stream).write(&CHUNK[..CHUNK.len().min(most - taken)]) {
                Ok(0) | Err(_) => break,
                Ok(count) => taken += count,
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        taken
    }

    /// Says that nothing more will be sent (FIN), and goes on reading.
    pub(crate) fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    /// Makes the buffers of the kernel small, so that little is hidden there.
    pub(crate) fn shrink_buffers(&self) {
        let socket = SockRef::from(&*self.stream);
        socket.set_recv_buffer_size(16 * 1024).expect("a socket");
        socket.set_send_buffer_size(16 * 1024).expect("a socket");
    }

    /// Reads some bytes; none when the other side has ended.
    ///
    /// # Panics
    ///
    /// When nothing comes.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Result<Vec<u8>, Ending> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    #[track_caller]
    fn fill(&mut self) -> Result<(), Ending> {
        let mut chunk = [0; 64 * 1024];
        loop {
            match (&*self.stream).read(&mut chunk) {
                Ok(0) => return Err(Ending::Closed),
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("nothing came; so far: {:?}", String::from_utf8_lossy(&self.buffer))
                }
                Err(_) => return Err(Ending::Reset),
            }
        }
    }

    /// Whether nothing comes for `time`, neither bytes nor an end.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a timeout");
        let looked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.buffer.is_empty()
            && looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the other side has not ended.
    pub(crate) fn is_open(&mut self) -> bool {
        self.is_silent_for(Duration::from_millis(1)) || !self.buffer.is_empty()
    }

    /// Reads exactly `count` bytes.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, Ending> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads up to and including `mark`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Ending> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            self.fill()?;
        }
    }

    /// Reads all that comes, and how it ended.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        loop {
            if let Err(ending) = self.fill() {
                return (std::mem::take(&mut self.buffer), ending);
            }
        }
    }

    /// Waits for the other side to end, whatever it sends until then.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> Ending {
        self.read_to_end().1
    }

    /// Reads the head of a message, without its body.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> Result<Message, Ending> {
        Ok(Message::head(&self.read_until(b"\r\n\r\n")?))
    }

    /// Reads a request with its body; none when the client has ended before
    /// its head was complete.
    #[track_caller]
    pub(crate) fn read_request(&mut self) -> Option<Message> {
        let mut message = self.read_head().ok()?;
        self.read_body(&mut message, false);
        Some(message)
    }

    /// Reads a response with its body. One to HEAD is to be read with
    /// [`Self::read_head`].
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> Message {
        let mut message = self.read_head().expect("the connection ended without a response");
        let bodiless = matches!(message.status(), 100..=199 | 204 | 304);
        self.read_body(&mut message, !bodiless);
        message
    }

    /// Sends `request` and reads the response.
    #[track_caller]
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request);
        self.read_response()
    }

    /// Reads the body of `message` as its head frames it. `until_end`: a
    /// message without a length lasts until the connection ends.
    #[track_caller]
    pub(crate) fn read_body(&mut self, message: &mut Message, until_end: bool) {
        let chunked = message.field("transfer-encoding").is_some();
        let length = message.field("content-length").map(|text| text.parse().expect("a length"));
        if chunked {
            message.complete = self.read_chunks(message).is_ok();
        } else if let Some(length) = length {
            message.complete = self.read_counted(message, length).is_ok();
        } else if until_end {
            let (body, ending) = self.read_to_end();
            message.body = body;
            message.complete = ending == Ending::Closed;
        } else {
            message.complete = true;
        }
    }

    #[track_caller]
    fn read_counted(&mut self, message: &mut Message, length: usize) -> Result<(), Ending> {
        let end = message.body.len() + length;
        while message.body.len() < end {
            if self.buffer.is_empty() {
                self.fill()?;
            }
            let count = self.buffer.len().min(end - message.body.len());
            message.body.extend(self.buffer.drain(..count));
        }
        Ok(())
    }

    #[track_caller]
    fn read_chunks(&mut self, message: &mut Message) -> Result<(), Ending> {
        loop {
            let line = String::from_utf8(self.read_until(b"\r\n")?).expect("a chunk size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            self.read_counted(message, size)?;
            assert_eq!(self.read_exact(2)?, b"\r\n", "the end of a chunk");
        }
        let mut lines = Vec::new();
        loop {
            let line = String::from_utf8(self.read_until(b"\r\n")?).expect("a trailer");
            if line == "\r\n" {
                break;
            }
            lines.push(line);
        }
        message.trailers = fields(lines.iter().map(String::as_str));
        Ok(())
    }
}
