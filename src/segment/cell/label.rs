//! ENUM and SET: index or bitmap <-> label or comma list.

use super::text::TextCodec;
use std::collections::HashMap;

/// The labels of a column that stand for exactly one index.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    texts: Vec<Option<String>>,
    index: HashMap<String, usize>,
}

impl Labels {
    /// Labels as logged, in the column's charset. One that cannot be told from another, or that
    /// its charset's codec cannot hold, has no text; for a SET neither has one that is empty or
    /// has a comma.
    pub(super) fn new(labels: &[Vec<u8>], codec: TextCodec, set: bool) -> Labels {
        let mut scratch = String::new();
        let mut texts: Vec<Option<String>> = labels
            .iter()
            .map(|label| codec.decode(label, &mut scratch).map(str::to_owned))
            .map(|text| text.filter(|t| !set || !(t.is_empty() || t.contains(','))))
            .collect();
        let mut count: HashMap<String, usize> = HashMap::new();
        for text in texts.iter().flatten() {
            *count.entry(text.clone()).or_default() += 1;
        }
        for text in &mut texts {
            if text.as_ref().is_some_and(|t| count.get(t) != Some(&1)) {
                *text = None;
            }
        }
        let index = texts
            .iter()
            .enumerate()
            .filter_map(|(index, text)| Some((text.clone()?, index)))
            .collect();
        Labels { texts, index }
    }

    /// The label at an index from 0.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.texts.get(index)?.as_deref()
    }

    /// The index of a label, from 0.
    pub(super) fn index(&self, text: &str) -> Option<usize> {
        self.index.get(text).copied()
    }

    /// Appends the comma list of a bitmap; `None` when a bit has no label.
    pub(super) fn list(&self, mut bits: u64, out: &mut String) -> Option<()> {
        let mut first = true;
        while bits != 0 {
            if !std::mem::replace(&mut first, false) {
                out.push(',');
            }
            out.push_str(self.text(bits.trailing_zeros() as usize)?);
            bits &= bits - 1;
        }
        Some(())
    }

    /// The bitmap of a comma list; `None` when it has an unknown label.
    pub(super) fn bits(&self, list: &str) -> Option<u64> {
        if list.is_empty() {
            return Some(0);
        }
        let mut bits = 0u64;
        for label in list.split(',') {
            bits |= 1u64.checked_shl(u32::try_from(self.index(label)?).ok()?)?;
        }
        Some(bits)
    }
}
