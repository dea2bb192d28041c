-- how many calls each service got, how many of them failed, and how long they took, as their callers saw them
with

services as (
    select * from service_calls
    where not is_total and service is not null
)

select * exclude (is_total) from services
order by service
