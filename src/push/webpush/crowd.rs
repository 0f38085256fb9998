//! Who is asked how often at once. Strangers name the push services, and one that never answers costs them nothing: it must not take up all that an app may do.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use parking_lot::Mutex;
use reqwest::Url;

/// Of all that may be asked at once, one owner of push services has a share of 1/2.
const SHARE: u64 = 2;

/// Requests under way.
pub(super) struct Crowds {
    each_max: usize,
    under_way: Mutex<BTreeMap<String, usize>>,
}

/// Room for one request.
pub(super) struct Place<'a> {
    crowds: &'a Crowds,
    owner: String,
}

impl Crowds {
    /// For an app that may ask so often at once.
    pub(super) fn new(requests_max: u64) -> Self {
        Self {
            each_max: (requests_max / SHARE).max(1) as usize,
            under_way: Mutex::default(),
        }
    }

    /// `None` when too many requests are under way to the same owner.
    pub(super) fn enter(&self, endpoint: &Url) -> Option<Place<'_>> {
        let owner = owner(endpoint.host_str().unwrap_or_default());
        let mut under_way = self.under_way.lock();
        let number = under_way.entry(owner.clone()).or_default();
        if *number >= self.each_max {
            return None;
        }
        *number += 1;
        Some(Place {
            crowds: self,
            owner,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut under_way = self.crowds.under_way.lock();
        if let Some(number) = under_way.get_mut(&self.owner) {
            *number -= 1;
            if *number == 0 {
                under_way.remove(&self.owner);
            }
        }
    }
}

/// The last two labels of a name: whoever has one name has as many below it as he likes. All bare addresses are one: no push service is known by its address.
fn owner(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok() {
        return String::new();
    }
    let mut labels = host.trim_end_matches('.').rsplitn(3, '.');
    let (last, second) = (labels.next(), labels.next());
    format!("{}.{}", second.unwrap_or(""), last.unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str) -> Url {
        Url::parse(&format!("https://{host}/x")).unwrap()
    }

    #[test]
    fn owners_have_many_names() {
        for (host, wanted) in [
            ("fcm.googleapis.com", "googleapis.com"),
            ("a.b.evil.example", "evil.example"),
            ("evil.example.", "evil.example"),
            ("localhost", ".localhost"),
            ("192.0.2.1", ""),
            ("[2001:db8::1]", ""),
        ] {
            assert_eq!(owner(url(host).host_str().unwrap()), wanted, "{host}");
        }
    }

    #[test]
    fn who_never_answers_leaves_room_for_others() {
        let crowds = Crowds::new(4);
        let one = crowds.enter(&url("a.evil.example")).unwrap();
        let two = crowds.enter(&url("b.evil.example")).unwrap();
        assert!(crowds.enter(&url("c.evil.example")).is_none());
        assert!(crowds.enter(&url("push.example.org")).is_some());
        drop(one);
        assert!(crowds.enter(&url("c.evil.example")).is_some());
        drop(two);
        assert!(crowds.under_way.lock().is_empty());
        assert!(Crowds::new(1).enter(&url("a.example")).is_some());
    }
}
