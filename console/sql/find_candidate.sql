select
    symbol,
    rank,
    selected,
    reason,
    score,
    risk_score,
    confidence,
    trend,
    strength,
    activity,
    calm,
    penalty,
    regime,
    close_micros,
    quoted_on
from read_parquet($files)
where symbol = $symbol
