-- how many calls there were, how many of them failed, and how long they took, as their callers saw them
with

all_services as (
    select * from service_calls
    where is_total
)

select * exclude (is_total, service) from all_services
