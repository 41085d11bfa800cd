//! The socket between two processes: messages as JSON after their length, some
//! with a descriptor.
//!
//! A descriptor travels with the first byte of its message, and a message has
//! one at most; so the two never get out of step.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{io::Interest, net::UnixStream, time::sleep};

/// The longest message, in bytes: what is known of a million instances fits.
const LONGEST: usize = 1 << 30;

/// The wait when too many descriptors are on their way.
const CROWDED: Duration = Duration::from_millis(10);

/// One end. Sending and receiving do not disturb each other; each is for one
/// task at a time.
#[derive(Debug)]
pub(in crate::app) struct Wire {
    stream: UnixStream,
}

impl Wire {
    /// Speaks over `stream`. On a runtime only.
    pub(in crate::app) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)? })
    }

    /// Sends `message`, and a copy of `descriptor` with it.
    pub(in crate::app) async fn send(
        &self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut bytes = vec![0; 4];
        serde_json::to_writer(&mut bytes, message)?;
        let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        let mut sent = self.send_some(&bytes, descriptor).await?;
        while sent < bytes.len() {
            sent += self.send_some(&bytes[sent..], None).await?;
        }
        Ok(())
    }

    async fn send_some(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<usize> {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
            if !fds.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let bytes = [IoSlice::new(bytes)];
            Ok(sendmsg(self.stream.as_fd(), &bytes, &mut ancillary, SendFlags::NOSIGNAL)?)
        };
        loop {
            match self.stream.async_io(Interest::WRITABLE, send).await {
                // As many descriptors are on their way as this process may
                // have open; the other one has to take some first.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::TOOMANYREFS) => {
                    sleep(CROWDED).await;
                }
                sent => return sent,
            }
        }
    }

    /// Receives the next message; none when the other process is gone. One that
    /// cannot be read is [`io::ErrorKind::InvalidData`], and the next one may
    /// be.
    pub(in crate::app) async fn receive<T: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut length = [0; 4];
        let (read, descriptor) = self.receive_some(&mut length).await?;
        if read == 0 {
            return Ok(None);
        }
        self.fill(&mut length[read..]).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::other("a message is too long"));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes).await?;
        let message = serde_json::from_slice(&bytes);
        // Not as the end of the stream, whatever is missing in it.
        let message = message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some((message, descriptor)))
    }

    async fn fill(&self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (read, _) = self.receive_some(bytes).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = &mut bytes[read..];
        }
        Ok(())
    }

    async fn receive_some(&self, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let read = recvmsg(self.stream.as_fd(), &mut slices, &mut ancillary, flags)?;
            let descriptors = ancillary.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            });
            Ok((read.bytes, descriptors.flatten().next()))
        };
        self.stream.async_io(Interest::READABLE, receive).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn pair() -> (Wire, Wire) {
        let (here, there) = UnixStream::pair().expect("a pair");
        (Wire::new(here).expect("a wire"), Wire::new(there).expect("a wire"))
    }

    #[tokio::test]
    async fn each_descriptor_comes_with_its_message() {
        let (here, there) = pair();
        let sending = tokio::spawn(async move {
            for number in 0..200_u32 {
                let (mut ours, theirs) = UnixStream::pair().expect("a pair");
                ours.write_all(&number.to_be_bytes()).expect("written");
                let with = number % 3 == 0;
                // Many of them do not fit into the buffer of the socket.
                let text = "x".repeat(number as usize * 100);
                here.send(&(number, text), with.then(|| theirs.as_fd())).await.expect("sent");
            }
        });
        for number in 0..200_u32 {
            let received = there.receive::<(u32, String)>().await.expect("received");
            let ((named, text), descriptor) = received.expect("a message");
            assert_eq!((named, text.len()), (number, number as usize * 100));
            assert_eq!(descriptor.is_some(), number % 3 == 0);
            if let Some(descriptor) = descriptor {
                let mut bytes = [0; 4];
                UnixStream::from(descriptor).read_exact(&mut bytes).expect("bytes");
                assert_eq!(u32::from_be_bytes(bytes), number);
            }
        }
        sending.await.expect("no panic");
        assert!(there.receive::<(u32, String)>().await.expect("an end").is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_the_end() {
        let (here, there) = pair();
        here.send(&"a text", None).await.expect("sent");
        here.send(&7, None).await.expect("sent");
        let error = there.receive::<u32>().await.expect_err("no number");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(there.receive::<u32>().await.expect("received").map(|it| it.0), Some(7));
    }

    #[tokio::test]
    async fn an_end_in_the_middle_is_an_error() {
        let (here, mut there) = UnixStream::pair().expect("a pair");
        there.write_all(&[0, 0, 0, 9, b'1']).expect("written");
        drop(there);
        let here = Wire::new(here).expect("a wire");
        assert!(here.receive::<u32>().await.is_err());
    }
}
