select
    verdict,
    factor_bps,
    ladder,
    applied,
    source,
    rationale
from read_parquet($files)
where intent_key = $intent_key
