//! PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7).

use super::super::property::{self, PropertyValue};
use super::super::reader::PacketReader;
use super::super::{Ack, DecodeError, PacketKind, Version};
use super::REASON_ONLY;

pub(super) fn ack(reader: &mut PacketReader<'_>, kind: PacketKind, version: Version) -> Result<Ack, DecodeError> {
    let mut ack = Ack::success(reader.packet_id(kind)?);
    if version == Version::V3 || reader.remaining() == 0 {
        return Ok(ack);
    }
    ack.reason = super::reason(kind, reader.byte("reason code")?)?;
    // The property length may be left out when it is zero (3.4.2.2.1).
    if reader.remaining() == 0 {
        return Ok(ack);
    }
    ack.user = property::read(reader, kind, REASON_ONLY, |property| match property.value {
        PropertyValue::Text(text) => {
            ack.reason_string = Some(text);
            Ok(())
        }
        _ => Err(property.refused()),
    })?;
    Ok(ack)
}
