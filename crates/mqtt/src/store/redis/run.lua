-- A connection says which run of the server it found. With another run than before the store may have forgotten something:
-- what holders of sessions know from the time before is of another generation, and not believed.
-- ARGV: the run's id
if redis.call('GET', P .. 'run') ~= ARGV[1] then
  redis.call('SET', P .. 'run', ARGV[1])
  redis.call('INCR', P .. 'gen')
end
return 0
