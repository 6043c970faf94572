create table part(id integer primary key, name text not null, weight real, kind int);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into part select i, 'part' || (i * 7919 % 104729), (i * 31 % 997) / 8.0, i % 7 from n;
create index by_weight on part(weight, kind);
select kind, count(*), round(sum(weight), 3), min(name), max(name) from part group by kind order by kind;
select id, name, rank() over (partition by kind order by weight desc, id) r from part where id < 40 order by kind, r limit 12;
explain query plan select * from part where weight > 100 and kind = 3;
create view heavy as select * from part where weight > 120;
select count(*), group_concat(kind, '') from (select * from heavy order by id limit 40);
update part set weight = weight * 1.5 where kind in (select kind from part group by kind having sum(weight) > 17700);
select round(avg(weight), 6), hex(substr(name, 1, 4)), typeof(weight), printf('%08.3f', weight) from part where id = 4711;
begin; delete from part where id % 3 = 0; select changes(), total_changes() > 0; rollback;
select count(*), count(distinct weight) from part;
select p.id, q.id from part p join part q on q.weight = p.weight and q.id > p.id where p.id < 5 order by 1, 2 limit 8;
select upper('žabc'), length('žluť'), 'abc' like 'A%', 7 / 2, 7 % -3, 1e308 * 10, abs(-9223372036854775807);
insert into part values (1, 'duplicate', 0, 0);
