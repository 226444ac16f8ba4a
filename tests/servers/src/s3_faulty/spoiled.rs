//! Answers that are not the server's, or not as it gave them.

/// An error as S3 words it.
pub(super) fn error(status: u16, code: &str, wait: Option<u32>, bodiless: bool) -> Vec<u8> {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said the test</Message></Error>");
    let wait = wait.map_or_else(String::new, |secs| format!("retry-after: {secs}\r\n"));
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} As told\r\n{wait}content-length: {length}\r\nconnection: close\r\n\r\n");
    format!("{head}{}", if bodiless { "" } else { &body }).into_bytes()
}

/// Where an answer's body begins.
pub(super) fn body_at(answer: &[u8]) -> usize {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4)
}

pub(super) fn corrupted(answer: &[u8]) -> Vec<u8> {
    let mut body = answer[body_at(answer)..].to_vec();
    let middle = body.len() / 2;
    body.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
    with_head(answer, &["x-amz-checksum-"], &[], &body)
}

/// The answer's head without some of its lines, and with others.
fn with_head(answer: &[u8], without: &[&str], with: &[String], body: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(&answer[..body_at(answer)]).into_owned();
    let keeps = |line: &&str| !without.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    let kept = head.trim_end().split("\r\n").filter(keeps).map(str::to_owned);
    let lines: Vec<_> = kept.chain(with.iter().cloned()).chain([String::new(), String::new()]).collect();
    [lines.join("\r\n").as_bytes(), body].concat()
}

pub(super) fn truncated(answer: &[u8]) -> Vec<u8> {
    let body = &answer[body_at(answer)..];
    let half = &body[..body.len() / 2];
    with_head(
        answer,
        &["content-length:", "x-amz-checksum-"],
        &[format!("content-length: {}", half.len())],
        half,
    )
}

pub(super) fn misnamed(answer: &[u8]) -> Vec<u8> {
    let wrong = ["etag: \"0123456789abcdef0123456789abcdef\"", "x-amz-checksum-crc32: AAAAAQ=="];
    with_head(answer, &["etag:", "x-amz-checksum-"], &wrong.map(str::to_owned), &answer[body_at(answer)..])
}
