//! Tables in HTML; all text from strangers goes through [`escape`].

use std::fmt::Write;

/// A cell of a table.
pub(super) enum Cell {
    /// Text, on the left.
    Text(String),
    /// A number, on the right.
    Number(String),
    /// A number that the eye shall find.
    Strong(String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    /// Four digits, or a dash.
    pub(super) fn number(value: Option<f64>) -> Self {
        Cell::Number(value.filter(|v| v.is_finite()).map_or("–".into(), four))
    }

    pub(super) fn count(value: usize) -> Self {
        Cell::Number(value.to_string())
    }
}

/// Four digits; zero has no sign.
pub(super) fn four(value: f64) -> String {
    format!("{:.4}", value + 0.0)
}

/// A table; nothing without rows. The first row says which columns hold numbers.
pub(super) fn table(out: &mut String, head: &[String], rows: &[Vec<Cell>]) {
    let Some(first) = rows.first() else { return };
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for (column, name) in head.iter().enumerate() {
        let text = matches!(first.get(column), Some(Cell::Text(_)) | None);
        let class = if text { "" } else { " class=\"n\"" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = match cell {
                Cell::Text(text) => write!(out, "<td>{}</td>", escape(text)),
                Cell::Number(text) => write!(out, "<td class=\"n\">{}</td>", escape(text)),
                Cell::Strong(text) => {
                    write!(out, "<td class=\"n\"><b>{}</b></td>", escape(text))
                }
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// Names of columns.
pub(super) fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The heading of a section.
pub(super) fn heading(out: &mut String, text: &str) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(text));
}

/// A line of text.
pub(super) fn paragraph(out: &mut String, text: &str) {
    let _ = writeln!(out, "<p>{}</p>", escape(text));
}

/// A chart under its title, with what its colours mean.
pub(super) fn figure(out: &mut String, title: &str, svg: &str, key: &[(&str, &str)]) {
    let _ = write!(out, "<figure><figcaption>{}</figcaption>\n{svg}", escape(title));
    if key.len() > 1 {
        out.push_str("<p class=\"key\">");
        for (name, colour) in key {
            let name = escape(name);
            let _ = write!(out, "<span><i style=\"background:{colour}\"></i>{name}</span>");
        }
        out.push_str("</p>");
    }
    out.push_str("</figure>\n");
}

/// What is shown when somebody asks for it.
pub(super) fn details(out: &mut String, summary: &str, inner: &str) {
    let summary = escape(summary);
    let _ = writeln!(out, "<details><summary>{summary}</summary>{inner}</details>");
}

/// Text that cannot become markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // A page with control characters is no valid HTML.
            _ if c.is_control() => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_strangers_cannot_become_markup() {
        assert_eq!(escape("<a b='c'>\0&\"\n"), "&lt;a b=&#39;c&#39;&gt;\u{fffd}&amp;&quot;\n");
        let mut out = String::new();
        table(&mut out, &head(&["<", "n"]), &[vec![Cell::text("<"), Cell::count(7)]]);
        assert!(out.contains("<th scope=\"col\">&lt;</th><th scope=\"col\" class=\"n\">n</th>"));
        assert!(out.contains("<td>&lt;</td><td class=\"n\">7</td>"), "{out}");
    }

    #[test]
    fn numbers_that_are_none_have_a_dash() {
        let text = |cell| match cell {
            Cell::Number(text) => text,
            _ => String::new(),
        };
        let got = [Some(0.5), Some(-0.0), Some(f64::NAN), None].map(|v| text(Cell::number(v)));
        assert_eq!(got, ["0.5000", "0.0000", "–", "–"]);
    }
}
