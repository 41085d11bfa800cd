//! Attacks by TLS: handshakes that stop half-way.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{bystanders::NAME, pressure::Attack};

const KIB: u64 = 1 << 10;

macro_rules! attack {
    ($name:literal, $each:expr, $turn:expr) => {
        Attack {
            name: $name,
            clients: 10_000,
            each: $each,
            listener: "",
            tls: true,
            greeting: b"",
            perform: |pressure, time| Box::pin(pressure.apply(time, $turn)),
        }
    };
}

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        attack!(
            "TLS: silence",
            16 * KIB,
            |mut stream| async move { stream.read_u8().await.map(drop) }
        ),
        attack!("TLS: half a first message", 24 * KIB, |mut stream| async move {
            let hello = hello();
            stream.write_all(&hello[..hello.len() / 2]).await?;
            stream.read_u8().await.map(drop)
        }),
        // The dearest: by then the proxy has signed.
        attack!("TLS: a handshake without its last message", 64 * KIB, |mut stream| async move {
            stream.write_all(&hello()).await?;
            while stream.read(&mut [0; 4096]).await? > 0 {}
            Ok(())
        }),
    ]
}

/// The first message of a client, whatever it trusts.
fn hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut message = Vec::new();
    client.write_tls(&mut message).expect("a message");
    message
}
