//! A byte relay: accepts, connects, copies both ways, knows nothing of HTTP.
//! What it costs is what the kernel takes for two connections; no proxy that
//! reads its messages can be cheaper.

use std::{
    collections::HashMap,
    io::{self, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::{
    origin::written,
    poll::{Interest, Poll},
};

struct Side {
    stream: TcpStream,
    other: u64,
    unsent: Vec<u8>,
}

/// Relays what comes to `address` to `origins` in turn, for ever.
pub(crate) fn serve(address: SocketAddr, origins: &[SocketAddr]) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    poll.add(&listener, 0, Interest::Read)?;
    let mut sides: HashMap<u64, Side> = HashMap::new();
    let (mut next, mut turn) = (1, 0);
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        poll.wait(Duration::from_secs(3600), &mut ready)?;
        for token in &ready {
            if *token == 0 {
                while let Ok((client, _)) = listener.accept() {
                    let origin = TcpStream::connect(origins[turn % origins.len()])?;
                    turn += 1;
                    for (stream, token, other) in
                        [(client, next, next + 1), (origin, next + 1, next)]
                    {
                        stream.set_nonblocking(true)?;
                        let _ = stream.set_nodelay(true);
                        poll.add(&stream, token, Interest::Read)?;
                        sides.insert(token, Side { stream, other, unsent: Vec::new() });
                    }
                    next += 2;
                }
                continue;
            }
            if pass(&mut sides, *token, &mut buffer, &poll).is_err()
                && let Some(side) = sides.remove(token)
            {
                sides.remove(&side.other);
            }
        }
    }
}

/// Carries on what came from one side, or what it had no room for.
fn pass(
    sides: &mut HashMap<u64, Side>,
    token: u64,
    buffer: &mut [u8],
    poll: &Poll,
) -> io::Result<()> {
    let Some(side) = sides.get_mut(&token) else { return Ok(()) };
    if !side.unsent.is_empty() {
        let sent = written(&mut side.stream, &side.unsent)?;
        side.unsent.drain(..sent);
        if side.unsent.is_empty() {
            poll.change(&side.stream, token, Interest::Read)?;
        }
        return Ok(());
    }
    let count = match side.stream.read(buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    let other = side.other;
    let Some(side) = sides.get_mut(&other) else { return Ok(()) };
    let data = &buffer[..count];
    let sent = if side.unsent.is_empty() { written(&mut side.stream, data)? } else { 0 };
    if sent < count {
        side.unsent.extend_from_slice(&data[sent..]);
        poll.change(&side.stream, other, Interest::Write)?;
    }
    Ok(())
}
