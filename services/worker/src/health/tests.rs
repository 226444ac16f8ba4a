use n2s_domain::SeededEntropy;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(0);

#[test]
fn only_what_came_later_counts() {
    let (health, entropy) = (StoreHealth::new((1, 8), 1), SeededEntropy::new(1));
    health.succeeded(1);
    let began = health.mark();
    let probe = health.mark();
    assert!(!health.success_since(began));
    health.succeeded(1);
    health.probed(probe, true, NOW, &entropy);
    assert!(health.success_since(began));
    assert_eq!(health.probe_since(began), Probe::Healthy);
    assert_eq!(health.probe_since(health.mark()), Probe::Unknown);
}

#[test]
fn that_an_error_is_over_is_told_as_soon_as_the_error() {
    let health = StoreHealth::new((1, 8), 1);
    let told = |health: &StoreHealth| {
        let urgency = health.urgency();
        health.news(NOW);
        urgency
    };
    health.succeeded(1);
    assert_eq!(told(&health), Some(Urgency::Quiet));
    health.note_error(FailureKind::Unavailable, "away");
    assert_eq!(told(&health), Some(Urgency::Soon));
    health.succeeded(1);
    assert_eq!(told(&health), Some(Urgency::Soon));
    health.succeeded(1);
    assert_eq!(told(&health), Some(Urgency::Quiet));
}

#[tokio::test]
async fn nothing_is_free_while_open_or_paused_or_full() {
    let (health, entropy) = (Arc::new(StoreHealth::new((2, 2), 1)), SeededEntropy::new(1));
    let is_free = async || tokio::time::timeout(Duration::from_millis(1), health.free()).await.ok();
    let opens = async || tokio::time::timeout(Duration::from_millis(1), health.open_again()).await.is_ok();
    assert_eq!(is_free().await, Some(Some(2)));
    let slots = health.occupy(2, true);
    assert_eq!(is_free().await, None, "there may be room soon");
    drop(slots);
    health.set_paused(true);
    assert_eq!(is_free().await, Some(None), "there will be none");
    assert!(!opens().await);
    health.set_paused(false);
    health.open(NOW, &entropy);
    assert_eq!(is_free().await, Some(None));
    assert!(!opens().await);
    health.probed(health.mark(), true, NOW, &entropy);
    assert!(opens().await);
    assert_eq!(is_free().await, Some(Some(2)));
}

#[tokio::test]
async fn who_waits_for_room_hears_that_the_circuit_has_opened() {
    let (health, entropy) = (Arc::new(StoreHealth::new((1, 1), 1)), SeededEntropy::new(1));
    let _full = health.occupy(1, true);
    let waiting = tokio::spawn({
        let health = Arc::clone(&health);
        async move { health.free().await }
    });
    tokio::task::yield_now().await;
    while !health.is_open() {
        health.faulted(NOW, &entropy);
    }
    assert_eq!(waiting.await.unwrap(), None);
}
