//! Telling systemd (`Type=notify`): ready only when requests are answered, and that it is ending when it was asked to.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service answers.
pub fn ready() {
    tell("READY=1");
}

/// The service is ending.
pub fn stopping() {
    tell("STOPPING=1");
}

/// Nobody to tell, or nobody who listens, is no reason to fail.
fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&socket),
    };
    let told = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::debug!(%error, state, "systemd could not be told");
    }
}
