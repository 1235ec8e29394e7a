//! Names of files with the id in them: `{id}.jpg`, `{id:2}/{id}/cover.png`.

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Id,
    /// The first characters of the id; all of them when it has no more.
    Start(usize),
}

/// A pattern that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

impl Pattern {
    /// Understands a pattern; `None` if it has no `{id}`, another hole, or is no relative path.
    pub(crate) fn parse(pattern: &str) -> Option<Self> {
        let clean = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !pattern.split('/').all(clean) {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((literal, hole)) = rest.split_once('{') {
            let (hole, after) = hole.split_once('}')?;
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(match hole.strip_prefix("id")? {
                "" => Part::Id,
                start => Part::Start(start.strip_prefix(':')?.parse().ok().filter(|n| *n > 0)?),
            });
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        let braces = parts.iter().any(|p| matches!(p, Part::Literal(text) if text.contains('}')));
        (parts.contains(&Part::Id) && !braces).then_some(Self(parts))
    }

    /// How many folders deep the files lie; 1 for the folder itself.
    pub(crate) fn depth(&self) -> usize {
        let slashes = |part: &Part| match part {
            Part::Literal(text) => text.matches('/').count(),
            _ => 0,
        };
        1 + self.0.iter().map(slashes).sum::<usize>()
    }

    /// The name that an id gets.
    fn name(&self, id: &str) -> String {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => name.push_str(text),
                Part::Id => name.push_str(id),
                Part::Start(n) => name.extend(id.chars().take(*n)),
            }
        }
        name
    }

    /// The id that has this name, if there is one. The length of the name says how long the id
    /// is, so there is one at most.
    pub(crate) fn id(&self, name: &str) -> Option<String> {
        let characters: Vec<char> = name.chars().collect();
        let length = (1..=characters.len()).find(|n| self.width(*n) >= characters.len())?;
        let before = self.0.split(|part| *part == Part::Id).next().unwrap_or_default();
        let start: usize = before.iter().map(|part| width(part, length)).sum();
        let id: String = characters.get(start..start.checked_add(length)?)?.iter().collect();
        (self.name(&id) == name).then_some(id)
    }

    /// Characters of the name of an id of so many.
    fn width(&self, id: usize) -> usize {
        self.0.iter().map(|part| width(part, id)).sum()
    }
}

fn width(part: &Part, id: usize) -> usize {
    match part {
        Part::Literal(text) => text.chars().count(),
        Part::Id => id,
        Part::Start(n) => id.min(*n),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_in_names() {
        let id = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().id(name);
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(id("p{id}.jpg", "p7.jpg"), some("7"));
        assert_eq!(id("{id:2}/{id}.jpg", "12/1234.jpg"), some("1234"));
        assert_eq!(id("{id:2}/{id}.jpg", "13/1234.jpg"), None);
        // An id of one character has no more to give.
        assert_eq!(id("{id:2}/{id}.jpg", "7/7.jpg"), some("7"));
        assert_eq!(id("{id}/{id}.png", "é7/é7.png"), some("é7"));
        assert_eq!(id("{id}/{id}.png", "a/b.png"), None);
        assert_eq!(id("{id}.jpg", ".jpg"), None);
    }

    #[test]
    fn what_is_no_pattern() {
        let wrong =
            ["", "x.jpg", "{id:2}.jpg", "/{id}", "{id}/", "../{id}", "a/./{id}", "{id:0}{id}"];
        let more = ["{id:x}{id}", "{name}{id}", "{id", "id}", "{id}}", "{{id}"];
        for pattern in wrong.into_iter().chain(more) {
            assert_eq!(Pattern::parse(pattern), None, "{pattern}");
        }
        assert_eq!(Pattern::parse("{id:1}/{id:2}/{id}").unwrap().depth(), 3);
    }

    proptest! {
        #[test]
        fn the_name_of_an_id_gives_the_id(id in "[a-zé0-9._-]{1,12}", n in 1usize..6) {
            for pattern in [format!("{{id:{n}}}/{{id}}.jpg"), format!("x{{id}}-{{id}}{{id:{n}}}")] {
                let pattern = Pattern::parse(&pattern).unwrap();
                let name = pattern.name(&id);
                prop_assert_eq!(pattern.id(&name), Some(id.clone()));
            }
        }
    }
}
