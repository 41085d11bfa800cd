//! A reader of requests that forgives nothing, and one of answers that looks
//! for what origins say they have seen.

/// One request on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    /// Bytes of the body, without its framing.
    pub(crate) length: usize,
}

impl Request {
    /// The one field called `name`, which is in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| &*field.1)
    }

    /// The path as it may stand in a log: the bytes of text are text again.
    pub(crate) fn path_text(&self) -> String {
        let bytes: Vec<u8> = self.path().chars().map(|byte| byte as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// All requests in `bytes`, and whether another one has begun.
///
/// # Errors
///
/// What could be read in two ways.
pub(crate) fn requests(mut bytes: &[u8]) -> Result<(Vec<Request>, bool), String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some((head, rest)) = split(bytes, b"\r\n\r\n") else { return Ok((found, true)) };
        let mut request = head_of(head)?;
        let coding = single(&request, "transfer-encoding")?;
        let promised = single(&request, "content-length")?;
        bytes = match (coding, promised) {
            (Some(_), Some(_)) => return Err("a length and a coding".into()),
            (Some("chunked"), None) => match chunks(rest)? {
                Some((length, rest)) => {
                    request.length = length;
                    rest
                }
                None => return Ok((found, true)),
            },
            (Some(other), None) => return Err(format!("the coding {other:?}")),
            (None, Some(length)) => {
                let canonical =
                    length.parse().ok().filter(|number: &usize| number.to_string() == length);
                let length = canonical.ok_or_else(|| format!("the length {length:?}"))?;
                if rest.len() < length {
                    return Ok((found, true));
                }
                request.length = length;
                &rest[length..]
            }
            (None, None) => rest,
        };
        found.push(request);
    }
    Ok((found, false))
}

fn single<'a>(request: &'a Request, name: &str) -> Result<Option<&'a str>, String> {
    let mut all = request.fields.iter().filter(|field| field.0 == name);
    match (all.next(), all.next()) {
        (first, None) => Ok(first.map(|field| &*field.1)),
        _ => Err(format!("several {name}")),
    }
}

fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn head_of(head: &[u8]) -> Result<Request, String> {
    if head.iter().any(|byte| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127)) {
        return Err("a control character".into());
    }
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return Err(format!("the line {line:?}")) };
    if method.is_empty() || !method.bytes().all(is_token) || !target.starts_with('/') {
        return Err(format!("the line {line:?}"));
    }
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("the field {line:?}"))?;
        let plain = !name.is_empty() && name.bytes().all(is_token);
        if !plain || value.contains(['\r', '\n']) {
            return Err(format!("the field {line:?}"));
        }
        fields.push((name.to_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let (method, target) = (method.to_owned(), target.to_owned());
    let request = Request { method, target, fields, length: 0 };
    single(&request, "host")?.ok_or("no host")?;
    Ok(request)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The length of a chunked body and what comes after it, once it is whole.
fn chunks(mut bytes: &[u8]) -> Result<Option<(usize, &[u8])>, String> {
    let mut length = 0;
    loop {
        let Some((line, rest)) = split(bytes, b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(line).ok().filter(|line| {
            (1..=8).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| format!("the chunk size {line:?}"))?;
        if size == 0 {
            return Ok(trailers(rest)?.map(|rest| (length, rest)));
        }
        if rest.len() < size + 2 {
            return Ok(None);
        }
        if &rest[size..size + 2] != b"\r\n" {
            return Err("a chunk that does not end".into());
        }
        length += size;
        bytes = &rest[size + 2..];
    }
}

fn trailers(mut bytes: &[u8]) -> Result<Option<&[u8]>, String> {
    const FORBIDDEN: [&str; 4] = ["content-length", "transfer-encoding", "host", "authorization"];
    loop {
        let Some((line, rest)) = split(bytes, b"\r\n") else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some(rest));
        }
        let line = String::from_utf8_lossy(line).to_lowercase();
        let (name, _) = line.split_once(':').ok_or_else(|| format!("the trailer {line:?}"))?;
        if FORBIDDEN.contains(&name) || !name.bytes().all(is_token) {
            return Err(format!("the trailer {line:?}"));
        }
        bytes = rest;
    }
}

/// What an origin says that it has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) length: usize,
    pub(crate) host: String,
    pub(crate) target: String,
}

/// One answer: its status, and what it says was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) seen: Option<Seen>,
}

/// The heads of all answers in `bytes`, in order. Interim ones are left out.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Answer> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut found: Vec<Answer> = Vec::new();
    for line in text.split('\n').map(|line| line.trim_end_matches('\r')) {
        // A body without an end of line stands before the next head.
        let status = line.find("HTTP/1.").map(|at| &line[at..]);
        if let Some(status) = status.and_then(|line| line.get(9..12)?.parse().ok()) {
            if !(100..200).contains(&status) {
                found.push(Answer { status, seen: None });
            }
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("x-seen")
            && let Some(last) = found.last_mut()
        {
            let words: Vec<&str> = value.trim().splitn(4, ' ').collect();
            if let [method, length, host, target] = words[..] {
                last.seen = Some(Seen {
                    method: method.to_owned(),
                    length: length.parse().unwrap_or(usize::MAX),
                    host: host.to_owned(),
                    target: target.to_owned(),
                });
            }
        }
    }
    found
}
