//! Files go up and come down again, the same to the byte.

use super::super::{
    api::{accepted, value},
    client::Call,
    knobs::{Knob, Knobs},
    meter::{Meter, Part},
    target::Target,
    trouble::{Outcome, Trouble},
};

pub(super) const ABOUT: &str = "uploads and downloads";

pub(super) const KNOBS: &[Knob] = &[
    ("count", 100, "files"),
    ("clients", 4, "at the same time"),
    ("bytes", 262_144, "size of a file"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let user = &target.users(1).await?[0];
    let (count, clients) = (knobs.number("count"), knobs.number("clients"));
    let seed = target.fresh();
    let files: &Vec<_> = &(0..count)
        .map(|number| noise(&format!("{seed}-{number}"), knobs.number("bytes")))
        .collect();
    let meter = Meter::begin(target, "upload");
    let names = &meter
        .repeat(count, clients, |number| async move {
            let call = Call {
                method: "POST",
                path: "/_matrix/media/v3/upload?filename=noise.bin",
                token: Some(&user.token),
                content_type: "application/octet-stream",
                body: &files[number],
            };
            let answer = accepted(target.api.client.ask(&call).await?)?;
            let uri = value(&String::from_utf8_lossy(&answer), "content_uri")?;
            Ok(uri.trim_start_matches("mxc://").to_owned())
        })
        .await;
    let uploads = meter.end();
    let meter = Meter::begin(target, "download");
    let same = meter
        .repeat(count, clients, |number| async move {
            let name = names[number].as_ref();
            let name = name.ok_or_else(|| Trouble::Surprise("never uploaded".to_owned()))?;
            let call = Call {
                method: "GET",
                path: &format!("/_matrix/client/v1/media/download/{name}"),
                token: Some(&user.token),
                content_type: "",
                body: &[],
            };
            let body = accepted(target.api.client.ask(&call).await?)?;
            Ok(body == files[number])
        })
        .await;
    let mut downloads = meter.end();
    downloads.lost = same.iter().filter(|same| **same == Some(false)).count();
    Ok(vec![uploads, downloads])
}

/// Bytes that no compression makes smaller, different for each seed.
fn noise(seed: &str, bytes: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
