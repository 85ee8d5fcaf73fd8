//! Payloads of the audio codecs, encoded and decoded.

use trunkline_audio::{g711, g722};

use crate::Codec;

/// The most audio that a packet may hold, in bytes, which for all our codecs are clock units:
/// 200 ms.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1600;

/// Decodes one stream.
#[derive(Default)]
pub(crate) struct PayloadDecoder {
    /// Only G.722 has a past.
    g722: Option<Box<g722::Decoder>>,
}

impl PayloadDecoder {
    /// Appends the samples of a payload, at the codec's rate.
    pub(crate) fn decode(&mut self, codec: Codec, payload: &[u8], pcm: &mut Vec<i16>) {
        match codec {
            Codec::Pcmu => g711::decode_ulaw_into(payload, pcm),
            Codec::Pcma => g711::decode_alaw_into(payload, pcm),
            Codec::G722 => self.g722.get_or_insert_default().decode_into(payload, pcm),
        }
    }
}

/// Encodes one stream.
#[derive(Default)]
pub(crate) struct PayloadEncoder {
    g722: Option<Box<g722::Encoder>>,
}

impl PayloadEncoder {
    /// Appends the payload of samples at the codec's rate.
    pub(crate) fn encode(&mut self, codec: Codec, pcm: &[i16], payload: &mut Vec<u8>) {
        match codec {
            Codec::Pcmu => g711::encode_ulaw_into(pcm, payload),
            Codec::Pcma => g711::encode_alaw_into(pcm, payload),
            Codec::G722 => self.g722.get_or_insert_default().encode_into(pcm, payload),
        }
    }
}
