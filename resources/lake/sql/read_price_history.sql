select
    session,
    open_micros,
    high_micros,
    low_micros,
    close_micros,
    volume
from quotes
where symbol = $symbol
order by session
