//! Servers of ZooKeeper ensembles.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use super::{Server, free_port};

const JAR: &str = "/usr/share/java/zookeeper.jar";

/// What its manifest does not name and TLS needs.
const NETTY: &str = "/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar";

/// A server of an ensemble, which keeps its data while it is restarted.
#[derive(Debug)]
pub(crate) struct Zookeeper {
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) server: Server,
}

impl Zookeeper {
    /// Starts one that is alone and waits until it serves.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut all = Self::servers(1, "");
        all.remove(0)
    }

    /// As [`Self::start`], and TLS on a port that it answers with: `store` has
    /// its key and certificate, `ca` who vouches for it (PEM both).
    #[track_caller]
    pub(crate) fn secured(store: &Path, ca: &Path) -> (Self, SocketAddr) {
        let port = free_port();
        let more = format!(
            "secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\n\
             serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={}\nssl.keyStore.type=PEM\nssl.keyStore.password=\n\
             ssl.trustStore.location={}\nssl.trustStore.type=PEM\nssl.trustStore.password=\n\
             ssl.clientAuth=none\n",
            store.display(),
            ca.display()
        );
        let mut all = Self::servers(1, &more);
        (all.remove(0), ([127, 0, 0, 1], port).into())
    }

    /// Starts an ensemble of three.
    #[track_caller]
    pub(crate) fn ensemble() -> Vec<Self> {
        Self::servers(3, "")
    }

    #[track_caller]
    fn servers(count: usize, more: &str) -> Vec<Self> {
        assert!(Path::new(JAR).exists(), "{JAR} is missing: run scripts/install-registries");
        let ports: Vec<_> = (0..count).map(|_| [free_port(), free_port(), free_port()]).collect();
        let quorum = |(n, [_, peer, election]): (usize, &[u16; 3])| {
            format!("server.{}=127.0.0.1:{peer}:{election}\n", n + 1)
        };
        let quorum: String = match count {
            1 => String::new(),
            _ => ports.iter().enumerate().map(quorum).collect(),
        };
        let mut servers: Vec<_> = (ports.iter().enumerate())
            .map(|(number, [client, ..])| {
                // The folder is known once it is there: a shell writes the
                // config into it, and becomes the server.
                let config = format!(
                    "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={{folder}}/data\n\
                     clientPort={client}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
                     4lw.commands.whitelist=*\nminSessionTimeout=1000\n{more}{quorum}"
                );
                let script = format!(
                    "mkdir -p data && echo {} >data/myid && printf %s \"$0\" >zoo.cfg && exec java \
                     -Xmx256m -cp {JAR}:{NETTY} \
                     -Dzookeeper.ssl.keyStore.password= \
                     org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg",
                    number + 1
                );
                let server = Server::start("/bin/sh", &["-c", &script, &config]);
                Self { address: ([127, 0, 0, 1], *client).into(), server }
            })
            .collect();
        for server in &mut servers {
            server.wait();
        }
        servers
    }

    /// Starts it again on its data.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.wait();
    }

    #[track_caller]
    fn wait(&mut self) {
        let address = self.address;
        self.server.wait_until(|| ask(address, "srvr").contains("Mode:"));
    }

    /// Whether it leads its ensemble.
    pub(crate) fn leads(&self) -> bool {
        ask(self.address, "srvr").contains("Mode: leader")
    }
}

/// The answer to a four-letter word; empty if there is none.
fn ask(address: SocketAddr, word: &str) -> String {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return String::new();
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut text = String::new();
    let _ = stream.write_all(word.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
    text
}

/// Puts a certificate and its key into one file, as the servers want them.
#[track_caller]
pub(crate) fn store(cert: &Path, key: &Path, into: &Path) {
    let read = |path| fs::read_to_string(path).expect("a file");
    fs::write(into, format!("{}{}", read(key), read(cert))).expect("a file");
}
