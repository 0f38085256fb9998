//! Exclusive canonical XML without comments (W3C, "Exclusive XML Canonicalization Version 1.0"), of elements of a parsed document.
//!
//! It is made of the tree that is read afterwards, never of text: what is signed and what is believed cannot differ.

use std::collections::BTreeMap;

use roxmltree::{Node, NodeId};

/// Elements lie in one another at most so deep.
const DEPTH_MAX: usize = 64;

/// What of an element is canonicalised, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish<'a> {
    /// An element below that is left out, with everything in it: an enveloped signature.
    pub(super) without: Option<NodeId>,
    /// Prefixes that are treated as inclusive canonicalisation would, `#default` for none.
    pub(super) inclusive: &'a [&'a str],
}

/// Namespaces in force, by prefix; the default one has an empty prefix.
type Scope<'a> = BTreeMap<&'a str, &'a str>;

/// The canonical form of an element.
pub(super) fn canonical(element: Node<'_, '_>, wish: Wish<'_>) -> Result<String, String> {
    let mut text = String::new();
    write_element(&mut text, element, &Scope::new(), (wish, 0))?;
    Ok(text)
}

fn write_element<'a>(
    text: &mut String,
    element: Node<'a, 'a>,
    rendered: &Scope<'a>,
    (wish, depth): (Wish<'_>, usize),
) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("elements lie too deep in one another".to_owned());
    }
    let name = qualified_name(element)?;
    let used = used_namespaces(element, name, wish)?;
    let mut rendered = rendered.clone();
    text.push('<');
    text.push_str(name);
    for (prefix, uri) in used {
        // No declaration is the same as an empty one for the default namespace.
        if rendered.get(prefix).copied().unwrap_or_default() == uri {
            continue;
        }
        rendered.insert(prefix, uri);
        match prefix {
            "" => text.push_str(" xmlns=\""),
            _ => {
                text.push_str(" xmlns:");
                text.push_str(prefix);
                text.push_str("=\"");
            }
        }
        escape_value(text, uri);
        text.push('"');
    }
    let mut attributes: Vec<_> = element.attributes().collect();
    attributes.sort_by_key(|attribute| {
        let namespace = attribute.namespace().unwrap_or_default();
        (namespace.to_owned(), attribute.name().to_owned())
    });
    for attribute in &attributes {
        text.push(' ');
        text.push_str(&element.document().input_text()[attribute.range_qname()]);
        text.push_str("=\"");
        escape_value(text, attribute.value());
        text.push('"');
    }
    text.push('>');
    for child in element.children() {
        if child.is_element() {
            if wish.without != Some(child.id()) {
                write_element(text, child, &rendered, (wish, depth + 1))?;
            }
        } else if child.is_text() {
            escape_text(text, child.text().unwrap_or_default());
        } else {
            return Err("there are comments or processing instructions".to_owned());
        }
    }
    text.push_str("</");
    text.push_str(name);
    text.push('>');
    Ok(())
}

/// The namespaces that an element and its attributes use, and those that are treated as inclusive.
fn used_namespaces<'a>(
    element: Node<'a, 'a>,
    name: &'a str,
    wish: Wish<'_>,
) -> Result<Scope<'a>, String> {
    let mut used = Scope::new();
    let of = |prefix: &str| element.lookup_namespace_uri(Some(prefix).filter(|it| !it.is_empty()));
    let (prefix, local) = split(name);
    let uri = of(prefix).unwrap_or_default();
    let is_what_was_parsed = local == element.tag_name().name()
        && uri == element.tag_name().namespace().unwrap_or_default()
        && (prefix.is_empty() || !uri.is_empty());
    if !is_what_was_parsed {
        return Err(format!("the name {name} is not what it seems"));
    }
    used.insert(prefix, uri);
    let source = element.document().input_text();
    for attribute in element.attributes() {
        let name = source.get(attribute.range_qname()).unwrap_or_default();
        let (prefix, local) = split(name);
        let uri = attribute.namespace().unwrap_or_default();
        let declared = match prefix {
            "" => "",
            "xml" => uri,
            _ => of(prefix).unwrap_or_default(),
        };
        if local != attribute.name() || uri != declared || prefix.is_empty() != uri.is_empty() {
            return Err(format!("the name {name} is not what it seems"));
        }
        if !prefix.is_empty() {
            used.insert(prefix, uri);
        }
    }
    for namespace in element.namespaces() {
        let prefix = namespace.name().unwrap_or_default();
        let named = if prefix.is_empty() {
            "#default"
        } else {
            prefix
        };
        if wish.inclusive.contains(&named) {
            used.insert(prefix, of(prefix).unwrap_or_default());
        }
    }
    // It is declared everywhere.
    used.remove("xml");
    Ok(used)
}

/// The name of an element as it was written.
fn qualified_name<'a>(element: Node<'a, 'a>) -> Result<&'a str, String> {
    let source = element.document().input_text();
    let tag = source
        .get(element.range())
        .and_then(|tag| tag.strip_prefix('<'));
    let ends = |letter: char| letter.is_ascii_whitespace() || matches!(letter, '/' | '>');
    tag.and_then(|tag| tag.split(ends).next())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| "an element has no name".to_owned())
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

fn escape_text(text: &mut String, given: &str) {
    for letter in given.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '\r' => text.push_str("&#xD;"),
            letter => text.push(letter),
        }
    }
}

/// Writes the value of an attribute, without its quotes.
pub(super) fn escape_value(text: &mut String, given: &str) {
    for letter in given.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '"' => text.push_str("&quot;"),
            '\t' => text.push_str("&#x9;"),
            '\n' => text.push_str("&#xA;"),
            '\r' => text.push_str("&#xD;"),
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn of(xml: &str, local: &str, inclusive: &[&str]) -> Result<String, String> {
        let document = Document::parse(xml).unwrap();
        let mut all = document.descendants();
        let element = all.find(|node| node.tag_name().name() == local).unwrap();
        let without = element.children().find(|child| child.has_tag_name("gone"));
        let wish = Wish {
            without: without.map(|node| node.id()),
            inclusive,
        };
        canonical(element, wish)
    }

    #[test]
    fn only_namespaces_that_are_used_are_declared() {
        // The example of section 2.2 of the recommendation, in both surroundings.
        let inner = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>";
        for outer in [
            format!(
                "<n0:local xmlns:n0=\"foo:bar\" xmlns:n3=\"ftp://example.org\">{}</n0:local>",
                "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"/></n1:elem2>"
            ),
            "<n2:pdu xmlns:n1=\"http://example.com\" xmlns:n2=\"http://foo.example\" xml:space=\"retain\"><n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"/></n1:elem2></n2:pdu>".to_owned(),
        ] {
            assert_eq!(of(&outer, "elem2", &[]).unwrap(), inner);
        }
    }

    #[test]
    fn prefixes_can_be_inclusive() {
        let xml = "<r xmlns='u:d' xmlns:x='u:x' xmlns:y='u:y'><y:a b='1'/></r>";
        assert_eq!(
            of(xml, "a", &[]).unwrap(),
            "<y:a xmlns:y=\"u:y\" b=\"1\"></y:a>"
        );
        assert_eq!(
            of(xml, "a", &["x", "#default"]).unwrap(),
            "<y:a xmlns=\"u:d\" xmlns:x=\"u:x\" xmlns:y=\"u:y\" b=\"1\"></y:a>"
        );
    }

    #[test]
    fn all_is_written_in_one_way() {
        let xml = "<a  z='1' xmlns:p='u:p' p:b = \"&lt;&#10;&quot;>\"\n y='2'><![CDATA[<&>]]>\r\n&#13;<gone>x</gone><b xmlns=''/></a >";
        assert_eq!(
            of(xml, "a", &[]).unwrap(),
            "<a xmlns:p=\"u:p\" y=\"2\" z=\"1\" p:b=\"&lt;&#xA;&quot;>\">&lt;&amp;&gt;\n&#xD;<b></b></a>"
        );
        let undeclared = "<a xmlns='u:a'><b xmlns=''><c/></b></a>";
        assert_eq!(
            of(undeclared, "a", &[]).unwrap(),
            "<a xmlns=\"u:a\"><b xmlns=\"\"><c></c></b></a>"
        );
        assert!(of("<a>x<!-- y --></a>", "a", &[]).is_err());
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        assert!(of(&deep, "a", &[]).is_err());
    }
}
