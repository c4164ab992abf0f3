//! `log.fields`: what is added to every line of the application log.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use super::Formatter;

/// Makes writers that add the fields to each line. The log hands over one whole line a write.
pub(super) struct WithFields<M> {
    inner: M,
    /// What ends a line without the fields, and with them.
    end: &'static str,
    end_with_fields: String,
}

impl<M> WithFields<M> {
    pub(super) fn new(inner: M, formatter: Formatter, fields: &BTreeMap<String, String>) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (end, end_with_fields) = match formatter {
            Formatter::Text => ("\n", fields.iter().map(|(name, value)| format!(" {name}={}", quoted(value))).collect::<String>() + "\n"),
            Formatter::Json => {
                ("}\n", fields.iter().map(|(name, value)| format!(",{}:{}", quoted(name), quoted(value))).collect::<String>() + "}\n")
            }
        };
        Self { inner, end, end_with_fields }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for WithFields<M> {
    type Writer = Line<'a, M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { inner: self.inner.make_writer(), end: self.end, end_with_fields: &self.end_with_fields }
    }
}

/// The writer of one line.
pub(super) struct Line<'a, W> {
    inner: W,
    end: &'static str,
    end_with_fields: &'a str,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match line.strip_suffix(self.end.as_bytes()) {
            // In one piece, so that lines of several threads do not mix.
            Some(start) => self.inner.write_all(&[start, self.end_with_fields.as_bytes()].concat())?,
            None => self.inner.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
