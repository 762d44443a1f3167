//! The Internet Printing Protocol's encoding (RFC 8010): requests of a few attributes, answers of any.

/// CUPS's operation that lists every queue.
pub(super) const GET_PRINTERS: u16 = 0x4002;

/// RFC 8011 section 4.2.6.
pub(super) const GET_JOBS: u16 = 0x000a;

/// Most groups of one answer that are kept: a queue or a job each.
pub(super) const MAX_GROUPS: usize = 1024;

/// Most attributes of one group that are kept; what was asked for has fewer than ten.
const MAX_ATTRIBUTES: usize = 64;

/// Most values of one attribute that are kept.
const MAX_VALUES: usize = 64;

/// Tags of RFC 8010 section 3.5.
mod tag {
    pub(super) const OPERATION: u8 = 0x01;
    pub(super) const JOB: u8 = 0x02;
    pub(super) const END: u8 = 0x03;
    pub(super) const PRINTER: u8 = 0x04;
    pub(super) const LAST_DELIMITER: u8 = 0x0f;
    pub(super) const INTEGER: u8 = 0x21;
    pub(super) const BOOLEAN: u8 = 0x22;
    pub(super) const ENUM: u8 = 0x23;
    pub(super) const KEYWORD: u8 = 0x44;
    pub(super) const URI: u8 = 0x45;
    pub(super) const CHARSET: u8 = 0x47;
    pub(super) const LANGUAGE: u8 = 0x48;
}

/// One request.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Version 2.0, with the attributes that every request has in front.
    pub(super) fn new(operation: u16) -> Self {
        let mut bytes = vec![2, 0];
        bytes.extend(operation.to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.push(tag::OPERATION);
        Self(bytes).attribute(tag::CHARSET, "attributes-charset", b"utf-8").attribute(
            tag::LANGUAGE,
            "attributes-natural-language",
            b"en",
        )
    }

    pub(super) fn uri(self, name: &'static str, uri: &'static str) -> Self {
        self.attribute(tag::URI, name, uri.as_bytes())
    }

    /// One value, or several under one name.
    pub(super) fn keywords(self, name: &'static str, words: &[&'static str]) -> Self {
        let names = std::iter::once(name).chain(std::iter::repeat(""));
        words
            .iter()
            .zip(names)
            .fold(self, |request, (word, name)| request.attribute(tag::KEYWORD, name, word.as_bytes()))
    }

    pub(super) fn integer(self, name: &'static str, value: i32) -> Self {
        self.attribute(tag::INTEGER, name, &value.to_be_bytes())
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.0.push(tag::END);
        self.0
    }

    fn attribute(mut self, tag: u8, name: &'static str, value: &[u8]) -> Self {
        self.0.push(tag);
        for part in [name.as_bytes(), value] {
            let length = u16::try_from(part.len()).expect("requests are made of short words");
            self.0.extend(length.to_be_bytes());
            self.0.extend(part);
        }
        self
    }
}

/// A value of an attribute that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `integer` and `enum`.
    Number(i32),
    /// `boolean`.
    Truth(bool),
    /// Keywords, names, texts, URIs: whatever is made of characters.
    Text(String),
}

/// The attributes of one queue or one job, with their values in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Group(Vec<(String, Vec<Value>)>);

impl Group {
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        self.values(name).iter().find_map(|value| match value {
            Value::Number(number) => Some(*number),
            Value::Truth(_) | Value::Text(_) => None,
        })
    }

    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.values(name).iter().find_map(|value| match value {
            Value::Truth(truth) => Some(*truth),
            Value::Number(_) | Value::Text(_) => None,
        })
    }

    pub(super) fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name).iter().filter_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            Value::Number(_) | Value::Truth(_) => None,
        })
    }

    fn values(&self, name: &str) -> &[Value] {
        self.0.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// RFC 8011 section 4.1.8 and appendix B; below 0x100 it went well.
    pub(super) status: u16,
    /// Queues or jobs.
    pub(super) groups: Vec<Group>,
}

/// Reads an answer; `None` if it breaks off or is something else.
pub(super) fn parse(bytes: &[u8]) -> Option<Answer> {
    let mut rest = Reader(bytes);
    let _version = rest.u16()?;
    let status = rest.u16()?;
    let _request = rest.take(4)?;
    let mut answer = Answer { status, groups: Vec::new() };
    let mut listed = false;
    loop {
        match rest.u8()? {
            tag::END => return Some(answer),
            tag::JOB | tag::PRINTER => {
                if answer.groups.len() >= MAX_GROUPS {
                    return Some(answer);
                }
                listed = true;
                answer.groups.push(Group::default());
            }
            0..=tag::LAST_DELIMITER => listed = false,
            value_tag => {
                let name = rest.counted()?;
                let value = value(value_tag, rest.counted()?);
                if let Some(Group(attributes)) = answer.groups.last_mut().filter(|_| listed) {
                    add(attributes, name, value);
                }
            }
        }
    }
}

/// An attribute without a name is a further value of the one before (RFC 8010 section 3.1.4).
fn add(attributes: &mut Vec<(String, Vec<Value>)>, name: &[u8], value: Option<Value>) {
    if !name.is_empty() && attributes.len() < MAX_ATTRIBUTES {
        attributes.push((String::from_utf8_lossy(name).into_owned(), Vec::new()));
    }
    if let (Some((_, values)), Some(value)) = (attributes.last_mut(), value)
        && values.len() < MAX_VALUES
    {
        values.push(value);
    }
}

fn value(tag: u8, bytes: &[u8]) -> Option<Value> {
    match tag {
        tag::INTEGER | tag::ENUM => Some(Value::Number(i32::from_be_bytes(bytes.try_into().ok()?))),
        tag::BOOLEAN => Some(Value::Truth(*bytes.first()? != 0)),
        // Character strings; text with a language in front (0x35, 0x36) is not among them.
        0x40..=0x49 => Some(Value::Text(String::from_utf8_lossy(bytes).into_owned())),
        _ => None,
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(tag: u8, name: &str, value: &[u8]) -> Vec<u8> {
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[tag], &length(name.as_bytes())[..], name.as_bytes(), &length(value), value].concat()
    }

    fn answer() -> Vec<u8> {
        [
            &[2, 0, 0, 0, 0, 0, 0, 1, tag::OPERATION][..],
            &attribute(tag::CHARSET, "attributes-charset", b"utf-8"),
            &[tag::PRINTER],
            &attribute(0x42, "printer-name", "Büro".as_bytes()),
            &attribute(tag::ENUM, "printer-state", &5_i32.to_be_bytes()),
            &attribute(tag::KEYWORD, "printer-state-reasons", b"media-empty-error"),
            &attribute(tag::KEYWORD, "", b"paused"),
            &attribute(tag::BOOLEAN, "printer-is-accepting-jobs", &[1]),
            &[tag::PRINTER],
            &attribute(0x42, "printer-name", b"second"),
            &[tag::END],
        ]
        .concat()
    }

    #[test]
    fn queues_are_read_with_all_values_of_an_attribute() {
        let answer = parse(&answer()).unwrap();
        assert_eq!((answer.status, answer.groups.len()), (0, 2));
        let queue = &answer.groups[0];
        assert_eq!(queue.texts("printer-name").collect::<Vec<_>>(), ["Büro"]);
        assert_eq!(queue.texts("printer-state-reasons").collect::<Vec<_>>(), ["media-empty-error", "paused"]);
        assert_eq!((queue.number("printer-state"), queue.truth("printer-is-accepting-jobs")), (Some(5), Some(true)));
        assert_eq!((queue.number("printer-name"), queue.truth("gone")), (None, None));
    }

    #[test]
    fn an_answer_that_breaks_off_anywhere_is_none_and_never_panics() {
        let whole = answer();
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        for position in 0..whole.len() {
            for byte in [0x00, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[position] = byte;
                let _whatever = parse(&broken);
            }
        }
    }

    #[test]
    fn numbers_of_another_width_and_endless_lists_are_not_kept() {
        let odd = [
            &[2, 0, 0, 0, 0, 0, 0, 1, tag::JOB][..],
            &attribute(tag::KEYWORD, "", b"of nothing"),
            &attribute(tag::ENUM, "job-state", &[9]),
            &attribute(tag::BOOLEAN, "flag", &[]),
            &attribute(tag::KEYWORD, "reasons", b"r").repeat(1),
            &attribute(tag::KEYWORD, "", b"r").repeat(500),
            &[tag::JOB].repeat(3000),
        ]
        .concat();
        let answer = parse(&odd).unwrap();
        assert_eq!(answer.groups.len(), MAX_GROUPS);
        assert_eq!((answer.groups[0].number("job-state"), answer.groups[0].truth("flag")), (None, None));
        assert_eq!(answer.groups[0].texts("reasons").count(), MAX_VALUES);
    }

    #[test]
    fn a_request_is_written_as_the_standard_has_it() {
        let request = Request::new(GET_JOBS)
            .uri("printer-uri", "ipp://localhost/")
            .keywords("k", &["a", "b"])
            .integer("limit", 5);
        let expected = [
            b"\x02\x00\x00\x0a\x00\x00\x00\x01\x01".as_slice(),
            b"\x47\x00\x12attributes-charset\x00\x05utf-8",
            b"\x48\x00\x1battributes-natural-language\x00\x02en",
            b"\x45\x00\x0bprinter-uri\x00\x10ipp://localhost/",
            b"\x44\x00\x01k\x00\x01a\x44\x00\x00\x00\x01b",
            b"\x21\x00\x05limit\x00\x04\x00\x00\x00\x05\x03",
        ];
        assert_eq!(request.into_bytes(), expected.concat());
    }
}
