//! Text inside XML.

use std::borrow::Cow;

/// `text` with the five characters that XML and HTML give a meaning replaced, and control characters, which XML 1.0
/// forbids, by U+FFFD. Safe in content and in quoted attributes.
///
/// ```
/// assert_eq!(tilewise_report::escape("a < b & \"c\""), "a &lt; b &amp; &quot;c&quot;");
/// ```
pub fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || is_forbidden(c);
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_forbidden(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Escaped prose in which `code` between backticks is set as code.
pub(crate) fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // Without a partner the last backtick is just a character.
    let paired = if parts.len() % 2 == 1 { parts.len() } else { parts.len() - 1 };
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        match (i % 2 == 1, i < paired) {
            (true, true) => out.push_str(&format!("<code>{}</code>", escape(part))),
            (true, false) => out.push_str(&format!("`{}", escape(part))),
            (false, _) => out.push_str(&escape(part)),
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whether `xml` is one well-formed element tree: tags nest, attributes are quoted, entities are known.
    pub(crate) fn well_formed(xml: &str) -> Result<(), String> {
        let mut open: Vec<String> = Vec::new();
        let mut rest = xml;
        while let Some(start) = rest.find('<') {
            text_is_escaped(&rest[..start])?;
            let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                match open.pop() {
                    Some(expected) if expected == name => {}
                    other => return Err(format!("</{name}> closes {other:?}")),
                }
                continue;
            }
            let (body, closed) = tag.strip_suffix('/').map_or((tag, false), |body| (body, true));
            let name = body.split_whitespace().next().ok_or("a tag without a name")?;
            let quotes = body.matches('"').count();
            if quotes % 2 != 0 || quotes / 2 != body.matches("=\"").count() {
                return Err(format!("attributes of <{body}>"));
            }
            body.split('"').skip(1).step_by(2).try_for_each(text_is_escaped)?;
            if !closed {
                open.push(name.into());
            }
            if name == "style" {
                rest = &rest[rest.find("</style>").ok_or("style without end")?..];
            }
        }
        text_is_escaped(rest)?;
        if open.is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
    }

    fn text_is_escaped(text: &str) -> Result<(), String> {
        for part in text.split('&').skip(1) {
            let name = part.split(';').next().unwrap_or_default();
            if !["amp", "lt", "gt", "quot", "#39"].contains(&name) {
                return Err(format!("&{name}"));
            }
        }
        if text.contains(['<', '>']) { Err(format!("bare angle in {text:?}")) } else { Ok(()) }
    }

    #[test]
    fn nothing_with_a_meaning_survives() {
        let hostile = "</text><script>alert('x' & \"y\")</script>\u{0}\u{1b}";
        let safe = escape(hostile);
        assert!(!safe.contains(['<', '>', '"', '\'', '\u{0}', '\u{1b}']));
        assert_eq!(well_formed(&format!("<a b=\"{safe}\">{safe}</a>")), Ok(()));
        assert!(matches!(escape("plain µ text"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_checker_sees_errors() {
        for bad in ["<a><b></a></b>", "<a", "<a b=c\">x</a>", "<a>&nbsp</a>", "<a>", "a > b"] {
            assert!(well_formed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn code_in_prose() {
        assert_eq!(prose("run `a<b` & go"), "run <code>a&lt;b</code> &amp; go");
        assert_eq!(prose("a `b` c ` d"), "a <code>b</code> c ` d");
    }
}
