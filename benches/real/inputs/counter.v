// A counter, a shift register with feedback, and a small memory on twelve pins.
module top (input clk, input reset, input [3:0] address, output reg [7:0] leds);
    reg [23:0] count = 0;
    reg [15:0] feedback = 16'hace1;
    reg [7:0] store [0:15];
    reg [7:0] read;
    wire [7:0] product = count[23:20] * feedback[3:0];
    always @(posedge clk) begin
        count <= reset ? 0 : count + 1;
        feedback <= {feedback[14:0], feedback[15] ^ feedback[13] ^ feedback[12] ^ feedback[10]};
        store[address] <= feedback[7:0] ^ product;
        read <= store[address ^ count[3:0]];
        leds <= reset ? 8'h01 : (count[4] ? read + product : {leds[6:0], leds[7]});
    end
endmodule
