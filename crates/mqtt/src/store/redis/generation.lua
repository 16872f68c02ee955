-- Notes the server's run that a new connection found. Another run than before may have lost writes: acknowledgements of
-- sessions that were claimed before it are of an older generation, and refused.
-- ARGV: the run's id
if redis.call('GET', P .. 'run') ~= ARGV[1] then
  redis.call('SET', P .. 'run', ARGV[1])
  redis.call('INCR', P .. 'gen')
end
return 0
