//! Addresses of files. A path is any bytes but NUL; in an address most of them must be escaped.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The `file:` address of an absolute path, as RFC 8089 has it.
pub(super) fn of(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            write!(url, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn every_byte_that_means_something_in_an_address_is_escaped() {
        let path = OsStr::from_bytes(b"/mnt/my disk/100%/a?b#c/\xff\xc3\xa9");
        assert_eq!(of(Path::new(path)), "file:///mnt/my%20disk/100%25/a%3Fb%23c/%FF%C3%A9");
        assert_eq!(of(Path::new("/a/n2s.json")), "file:///a/n2s.json");
    }
}
