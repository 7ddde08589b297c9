select
    effective_on,
    symbol,
    kind,
    numerator,
    denominator,
    dividend_micros
from read_parquet($files)
where effective_on > $after
and effective_on <= $session
