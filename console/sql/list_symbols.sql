select distinct symbol
from read_parquet($files)
order by symbol
