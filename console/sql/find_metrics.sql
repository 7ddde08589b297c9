select
    name,
    value,
    unit,
    status
from read_parquet($files)
