//! Tables and figures in HTML; all text from strangers goes through [`escape`].

use std::fmt::{Display, Write};

use super::chart::COLOURS;

/// Rows of a table of figures that are shown; the JSON has them all.
const MOST_ROWS: usize = 1_000;

/// A table under a heading; nothing when it has no rows.
pub(super) fn table(
    out: &mut String,
    title: &str,
    head: &[&str],
    rows: impl Iterator<Item = String>,
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let _ = write!(out, "<h2>{}</h2>", escape(title));
    grid(out, head, rows);
}

/// A table without a heading, of rows that [`row`] made.
pub(super) fn grid(out: &mut String, head: &[&str], rows: impl Iterator<Item = String>) {
    let mut rows = rows.peekable();
    // The name of a column of numbers stands above them, on the right.
    let texts = rows.peek().map_or(head.len(), |first| first.matches("<td>").count());
    out.push_str("<div class=\"wide\"><table><thead><tr>");
    for (column, name) in head.iter().enumerate() {
        let class = if column < texts { "" } else { " class=\"n\"" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    out.push_str("</tr></thead><tbody>\n");
    out.extend(rows);
    out.push_str("</tbody></table></div>\n");
}

/// A row of texts, then numbers.
pub(super) fn row<N: Display>(texts: &[&str], numbers: &[N]) -> String {
    let mut out = String::from("<tr>");
    for text in texts {
        let _ = write!(out, "<td>{}</td>", escape(text));
    }
    for number in numbers {
        let _ = write!(out, "<td class=\"n\">{}</td>", escape(&number.to_string()));
    }
    out.push_str("</tr>\n");
    out
}

/// A chart, what its colours mean, and the numbers behind it.
pub(super) struct Figure<'a> {
    pub(super) title: &'a str,
    pub(super) svg: String,
    /// What the colours of the chart mean, by their position in [`COLOURS`]; empty when there is
    /// only one.
    pub(super) key: &'a [(&'a str, usize)],
    pub(super) head: &'a [&'a str],
    pub(super) rows: Vec<String>,
}

impl Figure<'_> {
    pub(super) fn write(self, out: &mut String) {
        let title = escape(self.title);
        let _ = write!(out, "<figure><figcaption>{title}</figcaption>\n{}", self.svg);
        if !self.key.is_empty() {
            out.push_str("<p class=\"key\">");
            for (name, colour) in self.key {
                let (name, colour) = (escape(name), COLOURS[colour % COLOURS.len()]);
                let _ = write!(out, "<span><i style=\"background:{colour}\"></i>{name}</span>");
            }
            out.push_str("</p>");
        }
        out.push_str("<details><summary>Numbers</summary>");
        let left = self.rows.len().saturating_sub(MOST_ROWS);
        grid(out, self.head, self.rows.into_iter().take(MOST_ROWS));
        if left > 0 {
            let _ = write!(out, "<p>{left} more stand in report.json.</p>");
        }
        out.push_str("</details></figure>\n");
    }
}

/// A line of text.
pub(super) fn paragraph(out: &mut String, text: &str) {
    let _ = writeln!(out, "<p>{}</p>", escape(text));
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.2} %", 100.0 * share) } else { "–".to_owned() }
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
        assert_eq!(row::<u64>(&["<"], &[7]), "<tr><td>&lt;</td><td class=\"n\">7</td></tr>\n");
    }

    #[test]
    fn names_of_numbers_stand_on_the_right() {
        let mut out = String::new();
        grid(&mut out, &["A", "B"], std::iter::once(row(&["a"], &[1])));
        assert!(out.contains("<th scope=\"col\">A</th><th scope=\"col\" class=\"n\">B</th>"));
    }

    #[test]
    fn a_long_table_says_what_it_leaves_out() {
        let rows = vec![row::<u64>(&["x"], &[]); MOST_ROWS + 3];
        let mut out = String::new();
        Figure { title: "t", svg: String::new(), key: &[], head: &["X"], rows }.write(&mut out);
        assert_eq!(out.matches("<td>x</td>").count(), MOST_ROWS);
        assert!(out.contains("3 more stand in report.json."));
    }

    #[test]
    fn shares_that_are_no_numbers_have_a_dash() {
        assert_eq!((percent(0.5), percent(f64::NAN)), ("50.00 %".into(), "–".into()));
    }
}
