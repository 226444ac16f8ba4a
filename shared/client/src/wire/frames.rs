//! Many objects in one body.
//!
//! ```text
//! frame = head length u32 LE | head, JSON | object
//! ```
//!
//! The head says how long the object is, and what it is. Frames follow each other without gaps until the body ends; a body that ends
//! inside a frame is refused. Rejected: multipart, which scans every byte of every blob for a boundary; and base64 in JSON,
//! which costs a third.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest head.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// A body that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {frame} of the body cannot be read: {why}")]
pub struct InvalidFrame {
    /// Counted from 1.
    pub frame: usize,
    /// The rule it breaks.
    pub why: String,
}

/// A head that knows how long its object is.
pub trait Head: Serialize + DeserializeOwned {
    /// Bytes of the object.
    fn length(&self) -> u64;
}

/// The head of one frame; `object` follows it.
pub fn head(head: &impl Head) -> Bytes {
    let json = serde_json::to_vec(head).expect("heads are plain records");
    let mut bytes = BytesMut::with_capacity(4 + json.len());
    bytes.put_u32_le(u32::try_from(json.len()).expect("heads are short"));
    bytes.extend_from_slice(&json);
    bytes.freeze()
}

/// Every frame of a body, the objects sharing its memory. At most `most`.
pub fn read<H: Head>(mut body: Bytes, most: usize) -> Result<Vec<(H, Bytes)>, InvalidFrame> {
    let mut frames = Vec::new();
    while body.has_remaining() {
        let bad = |why: &str| InvalidFrame { frame: frames.len() + 1, why: why.to_owned() };
        if frames.len() == most {
            return Err(bad(&format!("there may be at most {most}")));
        }
        if body.remaining() < 4 {
            return Err(bad("the body ends inside it"));
        }
        let length = body.get_u32_le() as usize;
        if length > HEAD_BYTES_MAX {
            return Err(bad("its head is too long"));
        }
        if length > body.remaining() {
            return Err(bad("the body ends inside it"));
        }
        let head: H =
            serde_json::from_slice(&body.split_to(length)).map_err(|error| bad(&error.to_string()))?;
        let length = usize::try_from(head.length()).unwrap_or(usize::MAX);
        if length > body.remaining() {
            return Err(bad("the body ends inside it"));
        }
        let object = body.split_to(length);
        frames.push((head, object));
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        name: String,
        length: u64,
    }

    impl Head for Named {
        fn length(&self) -> u64 {
            self.length
        }
    }

    fn body(objects: &[(String, Vec<u8>)]) -> Bytes {
        let mut body = BytesMut::new();
        for (name, object) in objects {
            body.extend_from_slice(&head(&Named { name: name.clone(), length: object.len() as u64 }));
            body.extend_from_slice(object);
        }
        body.freeze()
    }

    proptest! {
        #[test]
        fn whatever_is_framed_comes_back(objects in proptest::collection::vec((".*", proptest::collection::vec(any::<u8>(), 0..50)), 0..6)) {
            let read = read::<Named>(body(&objects), 6).unwrap();
            let read: Vec<_> = read.into_iter().map(|(head, object)| (head.name, object.to_vec())).collect();
            prop_assert_eq!(read, objects);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(read::<Named>(bytes.into(), 6));
        }
    }

    #[test]
    fn a_body_cut_anywhere_but_between_frames_is_refused() {
        let objects = [("a".to_owned(), b"alpha".to_vec()), ("b".to_owned(), Vec::new())];
        let whole = body(&objects);
        let first = body(&objects[..1]).len();
        for cut in 1..whole.len() {
            assert_eq!(read::<Named>(whole.slice(..cut), 6).is_ok(), cut == first, "cut at {cut}");
        }
        assert!(read::<Named>(whole, 1).is_err());
    }
}
