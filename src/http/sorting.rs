//! Lists in the order of a member of their items: `sort` names it, with a minus the largest first. What must stay true: items
//! that are equal in it stand in the order that the list has without `sort`, so that pages fit together while nothing changes.

use std::cmp::Reverse;

use super::pagination;
use super::problem::Problem;
use super::problem_catalogue;

/// How many items one request sorts at most.
pub(super) const SORTED_MAX: usize = 100_000;

/// What a list is sorted by; a member that is absent is less than any.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortValue {
    Absent,
    Number(u64),
    Text(String),
}

impl From<u64> for SortValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for SortValue {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<String> for SortValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for SortValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

/// The orders of a list of such items.
pub(super) trait ListOrder<T> {
    fn value(&self, item: &T) -> SortValue;
    fn is_down(&self) -> bool;
}

/// Orders of lists: for each member its two variants, its two words, and its value of an item.
macro_rules! list_orders {
    ($($(#[$doc:meta])* $order:ident of $item:ty { $($up:ident $word:literal $down:ident $minus:literal $value:expr;)* })*) => { $(
        $(#[$doc])*
        #[derive(serde::Deserialize, utoipa::ToSchema, Clone, Copy)]
        pub(super) enum $order {
            $(
                #[serde(rename = $word)]
                $up,
                #[serde(rename = $minus)]
                $down,
            )*
        }

        impl $crate::http::sorting::ListOrder<$item> for $order {
            fn value(&self, item: &$item) -> $crate::http::sorting::SortValue {
                match self {
                    $(Self::$up | Self::$down => {
                        let value: fn(&$item) -> _ = $value;
                        value(item).into()
                    })*
                }
            }

            fn is_down(&self) -> bool {
                matches!(self, $(Self::$down)|*)
            }
        }
    )* };
}
pub(super) use list_orders;

/// A page of items in an order; the cursor is how many came before.
pub(super) fn page<T>(
    mut items: Vec<T>,
    order: &impl ListOrder<T>,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<T>, Option<String>), Problem> {
    at_most(SORTED_MAX, &items)?;
    if order.is_down() {
        items.sort_by_cached_key(|item| Reverse(order.value(item)));
    } else {
        items.sort_by_cached_key(|item| order.value(item));
    }
    counted(items, after, limit)
}

/// Refuses to sort more than so many.
pub(super) fn at_most<T>(max: usize, items: &[T]) -> Result<(), Problem> {
    if items.len() <= max {
        return Ok(());
    }
    let detail = format!("more than {max} items would have to be sorted: list them without sort");
    Err(Problem::new(&problem_catalogue::IMPOSSIBLE, detail).with("field", "sort"))
}

/// A page of items as they are; the cursor is how many came before.
pub(super) fn counted<T>(
    items: Vec<T>,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let from = pagination::cursor(after)?.and_then(|from| usize::try_from(from).ok()).unwrap_or(0);
    let (all, end) = (items.len(), from.saturating_add(limit));
    let page = items.into_iter().skip(from).take(limit).collect();
    Ok((page, (end < all).then(|| end.to_string())))
}
