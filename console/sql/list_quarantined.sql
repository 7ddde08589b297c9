select
    row_id,
    symbol,
    session,
    source,
    line,
    reason,
    detail,
    releasable
from read_parquet($files)
order by
    session,
    symbol,
    line,
    row_id
