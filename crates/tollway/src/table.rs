//! Tables for people: aligned columns under headings.
//!
//! Programs read JSON instead, so the layout may change at any time.

use std::fmt;

use l402::Msat;

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    headings: [Heading; N],
    lines: Vec<Line<N>>,
}

/// The heading of a column, and the side to which its cells are aligned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heading {
    Left(&'static str),
    /// For amounts and counts.
    Right(&'static str),
}

#[derive(Debug)]
enum Line<const N: usize> {
    Note(String),
    Row([String; N]),
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(headings: [Heading; N]) -> Self {
        Self {
            headings,
            lines: Vec::new(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        let cells = cells.map(|cell| in_one_line(&cell));
        self.lines.push(Line::Row(cells));
    }

    /// Adds a line that belongs to the row before it.
    pub(crate) fn note(&mut self, text: &str) {
        self.lines.push(Line::Note(in_one_line(text)));
    }

    /// Returns the whole table, or `empty` where it has no row.
    pub(crate) fn or(&self, empty: &str) -> String {
        if self.is_empty() {
            return empty.to_owned();
        }
        self.to_string()
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = self.headings.map(|heading| heading.text().len());
        for line in &self.lines {
            if let Line::Row(cells) = line {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        widths
    }

    fn aligned<'a>(&self, cells: impl Iterator<Item = &'a str>) -> String {
        let columns = self.headings.iter().zip(self.widths());
        let cells: Vec<String> = columns
            .zip(cells)
            .map(|((heading, width), cell)| match heading {
                Heading::Left(_) => format!("{cell:width$}"),
                Heading::Right(_) => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    }
}

impl Heading {
    const fn text(&self) -> &'static str {
        match self {
            Self::Left(text) | Self::Right(text) => text,
        }
    }
}

/// Writes headings and rows, without a line end after the last.
impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = self.headings.iter().map(Heading::text);
        f.write_str(&self.aligned(headings))?;
        for line in &self.lines {
            match line {
                Line::Note(text) => write!(f, "\n    {text}")?,
                Line::Row(cells) => {
                    let cells = cells.iter().map(String::as_str);
                    write!(f, "\n{}", self.aligned(cells))?;
                }
            }
        }
        Ok(())
    }
}

/// Returns an amount in satoshis, for a column of amounts: `10 sat`, `2.5 sat`.
pub(crate) fn in_sat(amount: Msat) -> String {
    let msat = amount.as_msat();
    let (sat, rest) = (msat.div_euclid(1_000), msat.rem_euclid(1_000));
    if rest == 0 {
        return format!("{sat} sat");
    }
    let fraction = format!("{rest:03}");
    format!("{sat}.{} sat", fraction.trim_end_matches('0'))
}

/// Returns a count with its noun, in the plural unless there is exactly one.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A cell may come from a server: it must neither begin a line of its own nor command the
/// terminal.
fn in_one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_cell_stays_in_its_line() {
        let mut table = Table::new([Heading::Left("WHERE"), Heading::Right("PAID")]);
        table.row(["http://a.example".to_owned(), "1 sat".to_owned()]);
        table.row(["\u{e9}\nx".to_owned(), "1000 sat".to_owned()]);
        table.note("a note");

        let lines = [
            "WHERE                 PAID",
            "http://a.example     1 sat",
            "\u{e9}\\nx              1000 sat",
            "    a note",
        ];
        assert_eq!(table.to_string(), lines.join("\n"));
    }

    #[test]
    fn amounts_are_in_satoshis() {
        for (msat, shown) in [
            (0, "0 sat"),
            (10_000, "10 sat"),
            (2_500, "2.5 sat"),
            (1, "0.001 sat"),
            (12_340, "12.34 sat"),
        ] {
            assert_eq!(in_sat(Msat::from_msat(msat)), shown);
        }
    }
}
