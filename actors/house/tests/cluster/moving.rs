//! Nodes come and go, and nobody notices.

use super::*;

/// Those who write and read while something happens.
struct Crowd {
    is_over: Arc<AtomicBool>,
    doors: Arc<Mutex<Vec<Arc<House>>>>,
    acked: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    writers: Vec<tokio::task::JoinHandle<BTreeSet<(OwnedRoomId, String)>>>,
    readers: Vec<tokio::task::JoinHandle<Client>>,
}

impl Crowd {
    /// Everybody is in all rooms, and begins.
    async fn begin(node: &Node, users: usize, rooms: usize) -> (Self, Vec<OwnedRoomId>) {
        let house = &node.house;
        let mut clients = Vec::new();
        for number in 0..users {
            clients.push(Client::register(house, &format!("user{number}")).await);
        }
        let mut all = Vec::new();
        for _ in 0..rooms {
            let room_id = make_room(house, &clients[0].user_id).await;
            for client in &clients[1..] {
                join(house, &client.user_id, &room_id).await;
            }
            all.push(room_id);
        }
        let mut crowd = Self {
            is_over: Arc::default(),
            doors: Arc::new(Mutex::new(vec![house.clone()])),
            acked: Arc::default(),
            failed: Arc::default(),
            writers: Vec::new(),
            readers: Vec::new(),
        };
        for (number, mut client) in clients.into_iter().enumerate() {
            client.sync(house, 0).await.unwrap();
            crowd.write(number, client.user_id.clone(), all.clone());
            crowd.read(number, client);
        }
        (crowd, all)
    }

    fn door(doors: &Mutex<Vec<Arc<House>>>, turn: usize) -> Arc<House> {
        let doors = doors.lock();
        doors[turn % doors.len()].clone()
    }

    fn write(&mut self, number: usize, user_id: OwnedUserId, rooms: Vec<OwnedRoomId>) {
        let (is_over, doors) = (self.is_over.clone(), self.doors.clone());
        let (told, failed) = (self.acked.clone(), self.failed.clone());
        self.writers.push(tokio::spawn(async move {
            let mut acked = BTreeSet::new();
            let mut turn = number;
            while !is_over.load(Ordering::SeqCst) {
                turn += 1;
                let room_id = &rooms[turn % rooms.len()];
                let house = Self::door(&doors, turn);
                match say(&house, &user_id, room_id, &turn.to_string()).await {
                    Ok(event_id) => {
                        acked.insert((room_id.clone(), event_id.to_string()));
                        told.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(_) => drop(failed.fetch_add(1, Ordering::SeqCst)),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            acked
        }));
    }

    fn read(&mut self, number: usize, mut client: Client) {
        let (is_over, doors) = (self.is_over.clone(), self.doors.clone());
        self.readers.push(tokio::spawn(async move {
            let mut turn = number;
            while !is_over.load(Ordering::SeqCst) {
                turn += 1;
                let house = Self::door(&doors, turn);
                // A sync that fails is asked again with the same token.
                let _ = client.sync(&house, 500).await;
            }
            client
        }));
    }

    /// Waits until some more is acknowledged.
    async fn go_on(&self) {
        let acked = || self.acked.load(Ordering::SeqCst);
        let wanted = acked() + 20;
        until("more is acknowledged", || acked() >= wanted).await;
    }

    /// Ends it: everybody was told everything that was acknowledged, once and in one order. How many sends failed.
    async fn end(self, nodes: &[&Node]) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        let mut acked = BTreeSet::new();
        for writer in self.writers {
            acked.extend(writer.await.unwrap());
        }
        assert!(acked.len() >= 20, "{}", acked.len());
        let houses: Vec<&House> = nodes.iter().map(|node| &*node.house).collect();
        let mut first: Option<Client> = None;
        for reader in self.readers {
            let mut client = reader.await.unwrap();
            let all = |client: &Client| {
                let mut acked = acked.iter();
                acked.all(|(room_id, event_id)| client.has(room_id, event_id))
            };
            client.sync_until("everything comes", &houses, all).await;
            // Once more at each house: it has nothing that was told before.
            for house in &houses {
                client.sync(house, 0).await.unwrap();
            }
            let first = &*first.get_or_insert_with(|| client.clone());
            let of = |client: &Client, room_id: &OwnedRoomId| {
                let timeline = client.timeline[room_id].clone().into_iter();
                let known = timeline.map(|event_id| (room_id.clone(), event_id));
                known.filter(|one| acked.contains(one)).collect::<Vec<_>>()
            };
            for room_id in client.timeline.keys() {
                assert_eq!(of(&client, room_id), of(first, room_id), "another order");
            }
        }
        self.failed.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_told_twice_while_nodes_come_and_go() {
    let town = Town::new().await;
    let one = town.node("one").await;
    town.settled(&[&one]).await;
    let (crowd, _) = Crowd::begin(&one, 4, 3).await;
    for round in 0..2 {
        let two = town.node(&format!("two{round}")).await;
        crowd.doors.lock().push(two.house.clone());
        let three = town.node(&format!("three{round}")).await;
        crowd.doors.lock().push(three.house.clone());
        town.settled(&[&one, &two, &three]).await;
        crowd.go_on().await;
        // Who leaves is asked no more, as a proxy sees to it.
        crowd.doors.lock().truncate(1);
        two.leave().await;
        three.leave().await;
        town.settled(&[&one]).await;
    }
    assert_eq!(crowd.end(&[&one]).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_a_node() {
    let town = Town::new().await;
    let (one, two, three) = (
        town.node("one").await,
        town.node("two").await,
        town.node("three").await,
    );
    town.settled(&[&one, &two, &three]).await;
    let (crowd, _) = Crowd::begin(&one, 4, 3).await;
    crowd.doors.lock().push(two.house.clone());
    crowd.go_on().await;
    three.kill().await;
    town.settled(&[&one, &two]).await;
    crowd.go_on().await;
    crowd.end(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_makes_nobody_hear_twice() {
    let town = Town::new().await;
    let nodes = town.nodes(2).await;
    let (crowd, _) = Crowd::begin(&nodes[0], 4, 3).await;
    crowd.doors.lock().push(nodes[1].house.clone());
    for _ in 0..3 {
        town.net.cut(&nodes[0].name, &nodes[1].name);
        tokio::time::sleep(Duration::from_millis(300)).await;
        town.net.heal();
        crowd.go_on().await;
    }
    crowd.end(&[&nodes[0], &nodes[1]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_sync_moves_with_its_user() {
    let town = Town::new().await;
    let one = town.node("one").await;
    town.settled(&[&one]).await;
    let mut clients = Vec::new();
    for number in 0..8 {
        let name = format!("user{number}");
        clients.push(Client::register(&one.house, &name).await);
    }
    let room_id = make_room(&one.house, &clients[0].user_id).await;
    for client in &mut clients[1..] {
        join(&one.house, &client.user_id, &room_id).await;
    }
    for client in &mut clients {
        client.sync(&one.house, 0).await.unwrap();
    }
    let users: Vec<_> = clients
        .iter()
        .map(|client| client.user_id.clone())
        .collect();
    let waiting = clients.into_iter().map(|mut client| {
        let house = one.house.clone();
        tokio::spawn(async move {
            client.sync(&house, 60_000).await.unwrap();
            client
        })
    });
    let waiting: Vec<_> = waiting.collect();
    let two = town.node("two").await;
    town.settled(&[&one, &two]).await;
    until("somebody moves", || {
        users.iter().any(|user_id| two.has(user_id))
    })
    .await;
    let event_id = say(&two.house, &users[0], &room_id, "hello").await.unwrap();
    for waiting in waiting {
        let mut client = waiting.await.unwrap();
        let came = |client: &Client| client.has(&room_id, event_id.as_str());
        client.sync_until("it comes", &[&two.house], came).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_a_house_that_closes_is_answered() {
    let town = Town::new().await;
    let nodes = town.nodes(2).await;
    for number in 0..4 {
        let mut client = Client::register(&nodes[0].house, &format!("user{number}")).await;
        client.sync(&nodes[0].house, 0).await.unwrap();
        let house = nodes[0].house.clone();
        let waiting = tokio::spawn(async move { client.sync(&house, 300_000).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        nodes[0].house.end_waiting();
        let within = Duration::from_secs(120);
        let answered = tokio::time::timeout(within, waiting).await;
        answered.expect("in time").unwrap().unwrap();
    }
}
