//! How a cluster stands, for people.

use crate::cluster::status::{NodeStatus, ShardStatus, Status};

/// The lines to show.
pub(super) fn described(status: &Status) -> Vec<String> {
    let mut lines = nodes(&status.nodes);
    if !status.missing_roles.is_empty() {
        let roles = status.missing_roles.join(", ");
        lines.push(format!("No living node has these roles: {roles}"));
    }
    lines.push(String::new());
    lines.extend(shards(&status.shards));
    lines.extend(moves(status));
    lines.extend(readers(status));
    lines.extend(hot_rooms(status));
    lines
}

fn nodes(nodes: &[NodeStatus]) -> Vec<String> {
    let mut lines = vec![row([
        "node", "standing", "shards", "load", "queued", "lease", "address", "roles",
    ])];
    for node in nodes {
        lines.push(row([
            &node.name,
            &node.standing,
            &node.shards.to_string(),
            &format!("{:.1}", node.load),
            &queued(node),
            &format!("{} ms", node.lease_left_ms),
            &node.address,
            &node.roles.join(","),
        ]));
    }
    lines
}

/// Records that wait for all writers of each family.
fn queued(node: &NodeStatus) -> String {
    let families = node.queues.values();
    let sums: Vec<_> = families
        .map(|writers| writers.iter().sum::<u64>().to_string())
        .collect();
    sums.join("+")
}

fn shards(shards: &[ShardStatus]) -> Vec<String> {
    let mut lines = vec![row([
        "shard",
        "holder",
        "term",
        "load",
        "",
        "goes to",
        "pinned to",
        "",
    ])];
    for shard in shards {
        let goes = shard.wanted.as_deref().filter(|_| !shard.is_settled());
        let load = shard.load.map(|load| format!("{load:.1}"));
        let alone = if shard.alone { " alone" } else { "" };
        let pinned = shard.pinned.as_deref().map(|node| format!("{node}{alone}"));
        lines.push(row([
            &format!("{}/{}", shard.family, shard.number),
            shard.holder.as_deref().unwrap_or("-"),
            &shard.term.to_string(),
            load.as_deref().unwrap_or("-"),
            "",
            goes.unwrap_or(""),
            pinned.as_deref().unwrap_or(""),
            "",
        ]));
    }
    lines
}

fn moves(status: &Status) -> Vec<String> {
    let lines = status.moves.iter().map(|one| {
        let for_ms = one.for_ms.map(|for_ms| format!("for {for_ms} ms"));
        let line = format!(
            "{:<15} {:<15} to {:<15} {}",
            one.shard,
            one.from.as_deref().unwrap_or("-"),
            one.to.as_deref().unwrap_or("-"),
            for_ms.as_deref().unwrap_or("")
        );
        line.trim_end().to_owned()
    });
    titled("moves", lines)
}

fn readers(status: &Status) -> Vec<String> {
    let lines = status.readers.iter().map(|reader| {
        format!(
            "{:<31} {:<15} {} behind",
            reader.name, reader.node, reader.behind
        )
    });
    titled("folds and followers", lines)
}

fn hot_rooms(status: &Status) -> Vec<String> {
    let lines = status.hot_rooms.iter().map(|room| {
        let rate = format!("{:.1}/s", room.rate);
        format!(
            "{rate:<15} {:<15} {:<15} {}",
            room.shard, room.node, room.room_id
        )
    });
    titled("hottest rooms", lines)
}

/// Nothing where there is nothing.
fn titled(title: &str, lines: impl Iterator<Item = String>) -> Vec<String> {
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    let head = [String::new(), title.to_owned()];
    head.into_iter().chain(lines).collect()
}

fn row(cells: [&str; 8]) -> String {
    let [one, two, three, four, five, six, seven, eight] = cells;
    let line =
        format!("{one:<15} {two:<15} {three:<7} {four:<8} {five:<8} {six:<15} {seven:<23} {eight}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::status::{HotStatus, MoveStatus, ReaderStatus};

    #[test]
    fn what_is_on_its_way_is_shown() {
        let status = Status {
            shards: vec![ShardStatus {
                family: "rooms".to_owned(),
                number: 3,
                holder: Some("a".to_owned()),
                term: 7,
                wanted: Some("b".to_owned()),
                pinned: Some("b".to_owned()),
                alone: true,
                load: None,
            }],
            moves: vec![MoveStatus {
                shard: "rooms/3".to_owned(),
                from: Some("a".to_owned()),
                to: Some("b".to_owned()),
                for_ms: Some(12),
            }],
            readers: vec![ReaderStatus {
                name: "user_names".to_owned(),
                node: "a".to_owned(),
                behind: 4,
            }],
            hot_rooms: vec![HotStatus {
                room_id: "!a:b".to_owned(),
                shard: "rooms/3".to_owned(),
                node: "a".to_owned(),
                rate: 2.5,
            }],
            missing_roles: vec!["push".to_owned()],
            ..Status::default()
        };
        let lines = described(&status);
        assert!(lines[1].ends_with("roles: push"));
        let words = |line: &str| -> Vec<String> {
            let words = line.split_whitespace();
            words.map(ToOwned::to_owned).collect()
        };
        assert_eq!(
            words(&lines[4]),
            ["rooms/3", "a", "7", "-", "b", "b", "alone"]
        );
        let text = lines.join("\n");
        assert!(
            text.contains("for 12 ms") && text.contains("4 behind"),
            "{text}"
        );
        assert!(text.contains("2.5/s"), "{text}");
    }
}
