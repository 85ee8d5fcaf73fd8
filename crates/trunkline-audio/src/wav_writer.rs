//! Writing WAV while a call runs: 16-bit PCM, mono or stereo.
//!
//! The header is right after every [`sync`](WavWriter::sync); what a crash leaves after the last
//! one is still in the file, and [`repair_wav`] makes the header own it.

use std::io::{Read, Seek, SeekFrom, Write};

use crate::AudioError;

const HEADER_BYTES: u32 = 44;

/// Writes one file as it grows.
#[derive(Debug)]
pub struct WavWriter<W: Write + Seek> {
    file: W,
    data_bytes: u32,
    /// Reused for conversion to bytes.
    scratch: Vec<u8>,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header of an empty file at the present position, which must be the start.
    ///
    /// # Errors
    /// [`AudioError::Io`].
    pub fn new(mut file: W, channels: u16, sample_rate_hz: u32) -> Result<Self, AudioError> {
        file.write_all(&header(channels, sample_rate_hz))?;
        Ok(Self {
            file,
            data_bytes: 0,
            scratch: Vec::new(),
        })
    }

    /// Appends samples, channels interleaved.
    ///
    /// # Errors
    /// [`AudioError::Io`]; also when the file would pass 4 GiB, the most that RIFF can hold.
    pub fn write(&mut self, samples: &[i16]) -> Result<(), AudioError> {
        let grown = u32::try_from(samples.len() * 2)
            .ok()
            .and_then(|added| self.data_bytes.checked_add(added))
            .filter(|bytes| *bytes <= u32::MAX - HEADER_BYTES)
            .ok_or_else(|| std::io::Error::other("a WAV file cannot pass 4 GiB"))?;
        self.scratch.clear();
        self.scratch
            .extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.file.write_all(&self.scratch)?;
        self.data_bytes = grown;
        Ok(())
    }

    /// Appends one stereo stretch from two channels; the shorter decides.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_stereo(&mut self, left: &[i16], right: &[i16]) -> Result<(), AudioError> {
        let interleaved: Vec<i16> = left.iter().zip(right).flat_map(|(l, r)| [*l, *r]).collect();
        self.write(&interleaved)
    }

    /// Makes the header own all that was written, and flushes.
    ///
    /// # Errors
    /// [`AudioError::Io`].
    pub fn sync(&mut self) -> Result<(), AudioError> {
        own_length(&mut self.file, self.data_bytes)?;
        self.file.flush()?;
        Ok(())
    }

    /// Syncs and gives the file back.
    ///
    /// # Errors
    /// [`AudioError::Io`].
    pub fn finish(mut self) -> Result<W, AudioError> {
        self.sync()?;
        Ok(self.file)
    }
}

/// Makes the header of a file that [`WavWriter`] left behind own all the audio that is in it.
/// Returns how many bytes of audio that is.
///
/// # Errors
/// [`AudioError::NotWav`] when the file is not one of ours; [`AudioError::Io`].
pub fn repair_wav<F: Read + Write + Seek>(file: &mut F) -> Result<u32, AudioError> {
    let mut head = [0u8; HEADER_BYTES as usize];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut head)
        .map_err(|_| AudioError::NotWav("shorter than its header"))?;
    if &head[..4] != b"RIFF" || &head[8..16] != b"WAVEfmt " || &head[36..40] != b"data" {
        return Err(AudioError::NotWav("not written by this recorder"));
    }
    let block = u32::from(u16::from_le_bytes([head[32], head[33]])).max(1);
    let length = file.seek(SeekFrom::End(0))?;
    let audio = u32::try_from(length.saturating_sub(u64::from(HEADER_BYTES)))
        .unwrap_or(u32::MAX - HEADER_BYTES);
    let whole = audio - audio % block;
    own_length(file, whole)?;
    file.flush()?;
    Ok(whole)
}

fn own_length<F: Write + Seek>(file: &mut F, data_bytes: u32) -> Result<(), AudioError> {
    file.seek(SeekFrom::Start(4))?;
    file.write_all(&data_bytes.saturating_add(HEADER_BYTES - 8).to_le_bytes())?;
    file.seek(SeekFrom::Start(40))?;
    file.write_all(&data_bytes.to_le_bytes())?;
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

fn header(channels: u16, sample_rate_hz: u32) -> Vec<u8> {
    let block = channels * 2;
    let mut out = Vec::with_capacity(HEADER_BYTES as usize);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(HEADER_BYTES - 8).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16u32.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&channels.to_le_bytes());
    out.extend_from_slice(&sample_rate_hz.to_le_bytes());
    out.extend_from_slice(
        &sample_rate_hz
            .saturating_mul(u32::from(block))
            .to_le_bytes(),
    );
    out.extend_from_slice(&block.to_le_bytes());
    out.extend_from_slice(&16u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&0u32.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::{Wav, WavEncoding};

    #[test]
    fn a_stereo_recording_reads_back_by_channel() {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), 2, 8000).unwrap();
        writer.write_stereo(&[1, 2, 3], &[-1, -2, -3]).unwrap();
        writer.write_stereo(&[4], &[-4]).unwrap();
        let file = writer.finish().unwrap().into_inner();
        let wav = Wav::parse(&file).unwrap();
        assert_eq!(wav.format.sample_rate_hz, 8000);
        assert_eq!(wav.channel(0), [1, 2, 3, 4]);
        assert_eq!(wav.channel(1), [-1, -2, -3, -4]);
    }

    #[test]
    fn what_a_crash_left_after_the_last_sync_is_owned_after_repair() {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), 1, 16_000).unwrap();
        writer.write(&[7; 100]).unwrap();
        writer.sync().unwrap();
        writer.write(&[9; 50]).unwrap();
        // The process dies here, in the middle of a sample.
        let mut file = Cursor::new(writer.file.into_inner());
        file.get_mut().pop();
        assert_eq!(Wav::parse(file.get_ref()).unwrap().samples.len(), 100);
        assert_eq!(repair_wav(&mut file).unwrap(), 298);
        assert_eq!(Wav::parse(file.get_ref()).unwrap().samples.len(), 149);
    }

    #[test]
    fn a_recording_that_was_never_synced_reads_to_its_end() {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), 1, 16_000).unwrap();
        writer.write(&[7; 100]).unwrap();
        let wav = Wav::parse(writer.file.get_ref()).unwrap();
        assert_eq!(wav.samples, [7; 100]);
    }

    #[test]
    fn ulaw_and_eight_bit_files_are_read_and_others_named() {
        let mut file = header(1, 8000);
        file[20] = 7;
        file[34] = 8;
        file.extend([0xff, 0x80]);
        let wav = Wav::parse(&file).unwrap();
        assert_eq!(wav.format.encoding, WavEncoding::Ulaw);
        assert_eq!(wav.samples, [0, 32_124]);
        file[20] = 1;
        assert_eq!(Wav::parse(&file).unwrap().samples, [0x7f00, 0]);
        file[20] = 3;
        let error = Wav::parse(&file).unwrap_err().to_string();
        assert!(error.contains("format tag 3"), "{error}");
    }

    #[test]
    fn repair_refuses_what_is_not_ours() {
        let mut file = Cursor::new(vec![0; 100]);
        assert!(matches!(repair_wav(&mut file), Err(AudioError::NotWav(_))));
    }

    proptest! {
        #[test]
        fn no_file_panics(mut file in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Wav::parse(&file);
            let good = header(1, 8000);
            for (slot, byte) in file.iter_mut().zip(good.iter().take(20)) {
                *slot = *byte;
            }
            let _ = Wav::parse(&file);
        }
    }
}
