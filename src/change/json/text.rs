//! Tree -> the text the server prints (`CAST(j AS CHAR)`, SELECT).

use super::JsonTree;
use super::number::{push_double, push_int, push_uint};
use crate::schema::wire;
use base64::Engine;
use std::fmt::Write;

/// Characters of base64 on one line of an opaque value's text.
const BASE64_LINE: usize = 76;

/// Prints a document exactly as the server does: one space after `:` and `,`, keys in stored
/// order, shortest doubles, temporal values with six decimals, opaque values as
/// `base64:type<code>:<data>`.
#[must_use]
pub fn to_text(tree: &JsonTree) -> String {
    let mut out = String::new();
    push_tree(tree, &mut out);
    out
}

fn push_tree(tree: &JsonTree, out: &mut String) {
    match tree {
        JsonTree::Null => out.push_str("null"),
        JsonTree::Bool(true) => out.push_str("true"),
        JsonTree::Bool(false) => out.push_str("false"),
        JsonTree::Int(value) => push_int(*value, out),
        JsonTree::Uint(value) => push_uint(*value, out),
        JsonTree::Double(value) => push_double(*value, out),
        JsonTree::String(text) => push_string(text, out),
        JsonTree::Decimal(decimal) => out.push_str(decimal.text()),
        JsonTree::Temporal(temporal) => {
            out.push('"');
            temporal.push_text(out);
            out.push('"');
        }
        // The server prints this one type as a plain string.
        JsonTree::Opaque {
            field_type: wire::VAR_STRING,
            data,
        } => push_string(&String::from_utf8_lossy(data), out),
        JsonTree::Opaque { field_type, data } => push_opaque(*field_type, data, out),
        JsonTree::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                push_separator(index, out);
                push_tree(element, out);
            }
            out.push(']');
        }
        JsonTree::Object(object) => {
            out.push('{');
            for (index, (key, value)) in object.members().iter().enumerate() {
                push_separator(index, out);
                push_string(key, out);
                out.push_str(": ");
                push_tree(value, out);
            }
            out.push('}');
        }
    }
}

/// Appends what stands before the element at `index`.
pub(super) fn push_separator(index: usize, out: &mut String) {
    if index > 0 {
        out.push_str(", ");
    }
}

/// Appends a string in quotes, with the server's escapes: short ones where JSON has them,
/// `\u00xx` for other control characters, nothing else.
pub(super) fn push_string(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    while let Some(at) = rest.bytes().position(special) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        let escaped = chars.next().unwrap_or_default();
        match escaped {
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing to a String cannot fail.
            control => drop(write!(out, "\\u{:04x}", u32::from(control))),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn push_opaque(field_type: u8, data: &[u8], out: &mut String) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(data);
    let _ = write!(out, "\"base64:type{field_type}:");
    let mut rest = encoded.as_str();
    while let Some((line, tail)) = rest.split_at_checked(BASE64_LINE) {
        out.push_str(line);
        if !tail.is_empty() {
            // A line break of the encoder, as the escape of a JSON string.
            out.push_str("\\n");
        }
        rest = tail;
    }
    out.push_str(rest);
    out.push('"');
}
