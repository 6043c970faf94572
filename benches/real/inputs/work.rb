# Blocks, fibers, big integers, regular expressions, files, exceptions.
require "json" rescue puts "no json"
Point = Struct.new(:x, :y) do
  def +(other) = Point.new(x + other.x, y + other.y)
end
puts ARGV.inspect, (1..200).inject(:*) % (10**30 + 57), 2**200
puts (1..50).map { |i| i * i }.select(&:even?).each_slice(5).map(&:sum).inspect
words = $stdin.read.downcase.scan(/[a-z]+/)
puts words.tally.sort_by { |w, n| [-n, w] }.first(7).inspect
fiber = Fiber.new { 5.times { |i| Fiber.yield i * 3 }; :done }
puts 6.times.map { fiber.resume }.inspect
puts [Point.new(1, 2), Point.new(3.5, -1)].reduce(:+).inspect
memo = Hash.new { |h, n| h[n] = n < 2 ? n : h[n - 1] + h[n - 2] }
puts memo[90]
catch(:found) { 100.times { |i| throw :found if i == 42 }; puts "never" }
begin
  Integer("forty")
rescue ArgumentError => e
  puts "#{e.class}: #{e.message}"
ensure
  puts "ensured"
end
def fall(n) = fall(n + 1)
begin
  fall(0)
rescue SystemStackError => e
  puts e.class
end
Dir.mkdir("/job/made") unless Dir.exist?("/job/made")
10.times { |i| File.write("/job/made/#{i}.txt", "line #{i}\n" * i) }
puts Dir.children("/job/made").sort.inspect, Dir.glob("/job/made/*").sum { |f| File.size(f) }
puts File.foreach("/job/made/9.txt").count, "%08.3f|%-6s|%+d" % [Math::PI, "ab", 5]
puts "žluťoučký kůň".upcase, "abc".unpack("C*").inspect, [1.5, 2].pack("eg").bytes.inspect
$stderr.puts "to standard error"
exit 5
