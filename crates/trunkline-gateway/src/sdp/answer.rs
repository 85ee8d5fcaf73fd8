//! Answering an offer, and accepting the answer to ours.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trunkline_rtp::Codec;

use super::describe::Local;
use super::parse::{Description, Media};
use super::{Agreed, Direction, SdpError, is_hole};

/// Answers an offer: the first usable audio stream is taken, every other stream is refused with
/// port 0. Of the codecs we take the offerer's first choice among ours.
///
/// # Errors
/// [`SdpError::Unusable`] when no stream can be taken; the call gets 488.
pub(crate) fn answer(offer: &Description, local: &mut Local) -> Result<(String, Agreed), SdpError> {
    let chosen = offer
        .media
        .iter()
        .position(|media| media.kind == "audio" && media.protocol == "RTP/AVP" && media.port != 0)
        .ok_or(SdpError::Unusable("no audio over plain RTP (RTP/AVP)"))?;
    let agreed = settle(&offer.media[chosen], Direction::answered)?;
    let ptime = agreed.ptime.as_millis();
    let mut streams = String::new();
    for (at, media) in offer.media.iter().enumerate() {
        if at == chosen {
            streams.push_str(&local.audio(&agreed, ptime));
        } else {
            let formats = media.formats.join(" ");
            streams.push_str(&format!(
                "m={} 0 {} {formats}\r\n",
                media.kind, media.protocol
            ));
        }
    }
    Ok((local.session_around(&streams), agreed))
}

/// Reads the answer to our offer.
///
/// # Errors
/// [`SdpError::Unusable`] when the far end refused the audio or chose what we did not offer.
pub(crate) fn accept(answer: &Description) -> Result<Agreed, SdpError> {
    // Ours had one stream, so the answer's first is the one.
    let media = answer
        .media
        .first()
        .ok_or(SdpError::Unusable("the answer holds no stream"))?;
    if media.kind != "audio" || media.protocol != "RTP/AVP" || media.port == 0 {
        return Err(SdpError::Unusable("the far end refused the audio"));
    }
    settle(media, Direction::mirrored)
}

fn settle(media: &Media, ours: fn(Direction) -> Direction) -> Result<Agreed, SdpError> {
    let address = media
        .address
        .ok_or(SdpError::Malformed("no connection address"))?;
    if matches!(address, IpAddr::V4(ip) if ip.is_multicast() || ip.is_broadcast()) {
        return Err(SdpError::Unusable("audio to a group address"));
    }
    let (payload_type, codec) = media
        .formats
        .iter()
        .find_map(|format| codec_of(media, format))
        .ok_or(SdpError::Unusable(
            "no codec in common: we have PCMU, PCMA and G722",
        ))?;
    let telephone_event = media
        .rtpmaps
        .iter()
        .find(|(number, encoding)| {
            let encoding = encoding.to_ascii_lowercase();
            let offered = media.formats.iter().any(|f| f.parse() == Ok(*number));
            offered && encoding.starts_with("telephone-event/8000") && *number != payload_type
        })
        .map(|(number, _)| *number);
    let mut direction = ours(media.direction);
    if is_hole(address) && direction.sends() {
        // RFC 2543 hold: there is nowhere to send to.
        direction = match direction {
            Direction::SendRecv => Direction::RecvOnly,
            _ => Direction::Inactive,
        };
    }
    Ok(Agreed {
        remote: SocketAddr::new(address, media.port),
        codec,
        payload_type,
        telephone_event,
        ptime: usable_ptime(media.ptime),
        direction,
    })
}

/// A format's codec, by its rtpmap or, without one, by the static assignment.
fn codec_of(media: &Media, format: &str) -> Option<(u8, Codec)> {
    let number: u8 = format.parse().ok().filter(|number| *number < 128)?;
    let mapped = media.rtpmaps.iter().find(|(known, _)| *known == number);
    let codec = match mapped {
        Some((_, encoding)) => encoding.parse().ok()?,
        None => Codec::from_static_payload_type(number)?,
    };
    Some((number, codec))
}

/// 10 to 60 ms in steps of 10; anything else becomes the usual 20.
fn usable_ptime(asked: Option<Duration>) -> Duration {
    let usual = Duration::from_millis(20);
    asked
        .filter(|ptime| {
            let millis = ptime.as_millis();
            (10..=60).contains(&millis) && millis % 10 == 0
        })
        .unwrap_or(usual)
}
