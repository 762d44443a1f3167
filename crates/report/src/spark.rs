//! A series on one line of a terminal.

/// The blocks from an eighth of a cell to all of it.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `values` in exactly `columns` cells, the newest on the right. A gap is a blank cell.
///
/// If there are more values than cells, a cell shows the most of its values: a short peak is what somebody looks for. `most` is the value
/// that fills a cell, such as 1,000 of a share in thousandths; without it the largest value does, and the least stands on the floor.
///
/// ```
/// let load = [Some(0), None, Some(500), Some(1000)];
/// assert_eq!(report::spark::sparkline(&load, 6, Some(1000)), "  ▁ ▅█");
/// ```
pub fn sparkline(values: &[Option<i64>], columns: usize, most: Option<i64>) -> String {
    let chunk = values.len().div_ceil(columns.max(1)).max(1);
    // The last cell ends with the newest value, so the first one may have fewer.
    let cells = values.rchunks(chunk).take(columns).map(|values| values.iter().flatten().copied().max());
    let mut cells = cells.collect::<Vec<_>>();
    cells.reverse();
    let known = || cells.iter().flatten().copied().map(i128::from);
    let low = if most.is_some() { 0 } else { known().min().unwrap_or(0) };
    let high = most.map_or_else(|| known().max().unwrap_or(0), i128::from).max(low + 1);
    let mut out = " ".repeat(columns.saturating_sub(cells.len()));
    for cell in &cells {
        out.push(cell.map_or(' ', |value| {
            let step = (i128::from(value).clamp(low, high) - low) * 8 / (high - low);
            BLOCKS.get(usize::try_from(step).unwrap_or(0).min(7)).copied().unwrap_or(' ')
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_newest_is_on_the_right_and_a_peak_is_not_averaged_away() {
        assert_eq!(sparkline(&[], 4, None), "    ");
        assert_eq!(sparkline(&[Some(7)], 3, Some(8)), "  █");
        let values = (0..100).map(|at| Some(if at == 98 { 1000 } else { 0 })).collect::<Vec<_>>();
        assert_eq!(sparkline(&values, 5, Some(1000)), "▁▁▁▁█");
        assert_eq!(sparkline(&values, 0, None), "");
    }

    #[test]
    fn without_a_most_the_values_use_all_of_the_height() {
        assert_eq!(sparkline(&[Some(-10), Some(0), Some(10)], 3, None), "▁▅█");
        assert_eq!(sparkline(&[Some(5), Some(5)], 2, None), "▁▁");
    }

    proptest! {
        #[test]
        fn any_series_has_as_many_cells_as_there_are_columns(
            values in proptest::collection::vec(any::<Option<i64>>(), 0..300),
            columns in 0_usize..200,
            most: Option<i64>,
        ) {
            prop_assert_eq!(sparkline(&values, columns, most).chars().count(), columns);
        }
    }
}
