//! Row images of a segment, put by in the order of its files and read in that of its entries.

use crate::error::{Error, Result, Wrap};
use crate::runtime::{temporary_file, temporary_full};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes that stay in memory; what came before them goes into a temporary file.
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Images back to back: a segment may be larger than memory.
#[derive(Debug, Default)]
pub(super) struct Images {
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    /// What follows them.
    tail: Vec<u8>,
}

impl Images {
    /// Adds an image that `write` appends; gives its place.
    ///
    /// # Errors
    /// Those of `write`; [`Unavailable`](crate::error::ErrorKind::Unavailable) when the temporary
    /// folder is full.
    pub(super) fn push(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Range<u64>> {
        if self.tail.len() >= MEMORY_BYTES_MAX {
            self.flush()?;
        }
        let start = self.end();
        write(&mut self.tail)?;
        Ok(start..self.end())
    }

    fn end(&self) -> u64 {
        self.written + self.tail.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => temporary_file()?,
        };
        let file = self.file.insert(file);
        file.write_all_at(&self.tail, self.written)
            .wrap(temporary_full)?;
        self.written += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    /// Appends the image at a place to `out`.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::ErrorKind::Unavailable) when the disk fails;
    /// [`Internal`](crate::error::ErrorKind::Internal) for a place that was not given.
    pub(super) fn read(&self, place: &Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        let lost = || Error::internal("find row image of segment");
        let length = place.end.checked_sub(place.start).ok_or_else(lost)? as usize;
        if let Some(at) = place.start.checked_sub(self.written) {
            let at = at as usize;
            let image = self.tail.get(at..at + length).ok_or_else(lost)?;
            out.extend_from_slice(image);
            return Ok(());
        }
        let file = self.file.as_ref().ok_or_else(lost)?;
        let start = out.len();
        out.resize(start + length, 0);
        let room = out.get_mut(start..).ok_or_else(lost)?;
        file.read_exact_at(room, place.start)
            .wrap(|| Error::unavailable("read temporary file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_give_images_back() {
        let mut images = Images::default();
        let mut places = Vec::new();
        for number in 0..9_u8 {
            let length = if number % 2 == 0 { 16 << 20 } else { 3 };
            let push = images.push(|out| {
                out.resize(out.len() + length, number);
                Ok(())
            });
            places.push(push.expect("room"));
        }
        assert!(images.written > 0 && !images.tail.is_empty());
        for (number, place) in places.iter().enumerate().rev() {
            let mut image = vec![0xee];
            images.read(place, &mut image).expect("an image");
            assert_eq!(image[0], 0xee);
            assert_eq!(image.len() as u64 - 1, place.end - place.start);
            assert!(image[1..].iter().all(|byte| usize::from(*byte) == number));
        }
        let past = images.end()..images.end() + 1;
        assert!(images.read(&past, &mut Vec::new()).is_err());
    }
}
